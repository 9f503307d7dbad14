"""What is installed by which commands of Helm, and why; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moorage.objects import KubeObject

from ..installed.gathering import Hidden
from . import neighbours
from .neighbours import Finding
from .releases import Release
from .standing import EVICTOR, PARTS, PINNER, PLANNER, Standing, Whose, standing
from .surroundings import DEFINITIONS, RELEASE, RELEASE_NAMESPACE, RULES, UMBRELLA, Surroundings

TITLES = {PINNER: "pod pinner", EVICTOR: "evictor", PLANNER: "planner"}
AGAIN = "then run this again"
_CONTROLLER = "castai-cluster-controller"
_STUCK = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")
Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of Helm.

    Attributes:
        release: its name.
        chart: the chart's name.
        installs: whether the release is a new one; else it is upgraded, and keeps its values.
        values: what is set, by key.
    """

    release: str
    chart: str
    installs: bool
    values: Mapping[str, str]


@dataclass
class Plan:
    """What was concluded.

    Attributes:
        findings: each thing that bears on it, and what follows.
        blockers: why nothing is installed.
        before: commands of kubectl that come before.
        steps: commands of Helm.
        unseen: what could not be read.
    """

    findings: list[Finding] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)
    before: list[list[str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def judge(found: Surroundings, version: str) -> Plan:
    """What to do in a cluster.

    Args:
        found: what was read.
        version: of the charts that are installed.
    """
    plan = Plan(unseen=list(found.unseen))
    plan.blockers += neighbours.blockers(found)
    plan.findings += neighbours.findings(found)
    if isinstance(found.programs, Hidden):
        plan.blockers.append(
            "it cannot be seen what is installed already, because Deployments may not be listed "
            f"({found.programs.reason}). Run this as somebody who may"
        )
        return plan
    here = _Parts(found, plan, version)
    here.judge()
    plan.blockers += [*_stuck(found, plan.steps), *_taken(found, plan.steps), *_rules_of_others(found, plan.steps)]
    if plan.blockers:
        plan.before, plan.steps = [], []
    else:
        plan.before += _given_to(found, plan)
    return plan


class _Parts:
    """Decides part by part: what stays out, what is upgraded, what is installed."""

    def __init__(self, found: Surroundings, plan: Plan, version: str) -> None:
        self._found = found
        self._plan = plan
        self._version = version
        self._standing = standing(found)
        self._wanted: dict[str, Values] = {part: {} for part in PARTS}
        for each in plan.findings:
            for (part, key), value in each.values.items():
                self._wanted[part][key] = value
        self._out: set[str] = set()

    def judge(self) -> None:
        self._beside_the_controller()
        self._beside_rights_of_others()
        own: dict[str, Standing] = {}
        umbrella = ""
        for part in PARTS:
            there = self._choose(part)
            if there is None:
                continue
            if there.chart == UMBRELLA:
                umbrella = there.release
            own[part] = there
        missing = [part for part in PARTS if part not in own and part not in self._out]
        for part, there in own.items():
            if there.chart == part:
                self._upgrade(part, there)
        if umbrella:
            self._upgrade_umbrella(umbrella, [each for each in own.values() if each.chart == UMBRELLA], missing)
        elif own:
            for part in missing:
                self._say(TITLES[part], "is missing: it is installed by its own chart, as the other parts are")
                self._plan.steps.append(Step(part, part, installs=True, values=self._wanted[part]))
        elif missing:
            self._install_umbrella(missing)

    def _choose(self, part: str) -> Standing | None:
        """The Deployment of a part that is upgraded; None when there is none, or it stays as it is."""
        all_of_it = [each for each in self._standing if each.part == part]
        for each in all_of_it:
            if why := self._against(each):
                self._out.add(part)
                self._say(f"{TITLES[part]} of {each.whose.value.removesuffix(chr(39) + 's')}: {each.place}", why)
                return None
        return all_of_it[0] if all_of_it else None

    def _against(self, there: Standing) -> str:
        """Why a part that is there is left as it is, and none is installed beside it; empty when it is upgraded."""
        if there.namespace != self._found.namespace:
            return f"no second one is installed. To upgrade it: --namespace {there.namespace}"
        if there.keeper:
            return f"{there.keeper} keeps it, and would undo what Helm does here: change it there"
        if not there.release:
            return f"no release of Helm holds it: remove it (kubectl delete deployment {there.name}), {AGAIN}"
        if there.chart in (there.part, *([UMBRELLA] if there.whose is Whose.OURS else [])):
            return ""
        if not there.chart:
            return (
                f"release {there.release} may hold other things, too, and its chart cannot be seen: run this as "
                f"somebody who may list secrets, or switch {there.part} off there, {AGAIN}"
            )
        if there.whose is Whose.OURS:
            return f"release {there.release} of chart {there.chart} holds it: change it there"
        return (
            f"release {there.release} of chart {there.chart} holds other things, too, so that it cannot be upgraded to "
            f"this part alone: switch {there.part} off there, {AGAIN}"
        )

    def _upgrade(self, part: str, there: Standing) -> None:
        """A part that has a release of its own."""
        release = self._release(there.release)
        if there.whose is Whose.CLOSED:
            values = self._taking_over(part, there, release)
        else:
            values = self._not_given(part, release, ())
        thing = f"{TITLES[part]}: release {there.release} of chart {part} {there.version}".rstrip()
        if there.whose is Whose.CLOSED:
            self._say(f"the closed {thing}", "upgraded in place, with its values. See docs/guides/moving-over.md")
        elif not self._differs(there) and not values:
            self._say(thing, "nothing is missing")
            return
        else:
            self._say(thing, self._kept(release))
        self._plan.steps.append(Step(there.release, part, installs=False, values=values))

    def _upgrade_umbrella(self, name: str, there: list[Standing], missing: list[str]) -> None:
        release = self._release(name)
        values = {f"{part}.enabled": "true" for part in missing}
        for part in (*(each.part for each in there), *missing):
            unknown = part in missing and release is None
            given = self._wanted[part] if unknown else self._not_given(part, release, (part,))
            values |= {f"{part}.{key}": value for key, value in given.items()}
        versions = {each.version for each in there if each.version}
        thing = f"release {name} of chart {UMBRELLA} {' and '.join(sorted(versions))}".rstrip()
        for part in missing:
            why = "it is switched on. Leave that value out to keep it off"
            self._say(f"{thing}, without the {TITLES[part]}", why, part, {"enabled": "true"})
        if not values and not any(self._differs(each) for each in there):
            self._say(thing, "nothing is missing")
            return
        if not missing:
            self._say(thing, self._kept(release))
        self._plan.steps.append(Step(name, UMBRELLA, installs=False, values=values))

    def _install_umbrella(self, missing: list[str]) -> None:
        values = {f"{part}.enabled": "false" for part in PARTS if part not in missing}
        for part in missing:
            values |= {f"{part}.{key}": value for key, value in self._wanted[part].items()}
        for part in PARTS:
            if part not in missing:
                self._say(f"the {TITLES[part]}", "it is left out, as said above", part, {"enabled": "false"})
        names = ", ".join(TITLES[part] for part in missing)
        self._say(f"no {names}", f"chart {UMBRELLA} installs what is missing; the evictor only says what it would do")
        self._plan.steps.append(Step(UMBRELLA, UMBRELLA, installs=True, values=values))

    def _taking_over(self, part: str, there: Standing, release: Release | None) -> Values:
        """What changes as a closed release becomes ours."""
        values: Values = dict(self._wanted[part])
        if not there.replicas:
            run = {"replicas": values.get("replicas", "2" if part == PINNER else "1"), "replicaCount": "null"}
            values |= run
            why = "its service scales up later, nobody does so for Moorage: replicas says how many run"
            self._say(f"{there.place} with 0 replicas", why, part, run)
        else:
            values.pop("replicas", None)
        if part == EVICTOR:
            dry = {"dryRun": "true"}
            values |= dry
            self._say(there.place, "the evictor starts with a dry run; dryRun=false has it act", part, dry)
        if part == PINNER:
            keys = [("castai", "apiKey"), ("castai", "apiKeySecretRef")]
            given = keys if release is None or release.values is None else [key for key in keys if release.gives(*key)]
            keyless = {".".join(key): "null" for key in given}
            values |= keyless
            if given:
                why = "it is not shown to the planner, which makes one of its own"
                self._say("a key of the closed product", why, part, keyless)
        return values

    def _not_given(self, part: str, release: Release | None, above: tuple[str, ...]) -> Values:
        """What an existing release lacks. What its user has said stays as it is, and so does what cannot be seen."""
        if release is None or release.values is None:
            return {}
        wanted = self._wanted[part].items()
        return {key: value for key, value in wanted if not release.gives(*above, *key.split("."))}

    def _kept(self, release: Release | None) -> str:
        if release is None or release.values is None:
            return "it is upgraded, and keeps its values; they cannot be seen, so that nothing is added to them"
        return "it is upgraded, and keeps its values"

    def _differs(self, there: Standing) -> bool:
        return there.version != self._version

    def _release(self, name: str) -> Release | None:
        return None if isinstance(self._found.releases, Hidden) else self._found.releases.get(name)

    def _beside_the_controller(self) -> None:
        programs = self._found.programs if isinstance(self._found.programs, tuple) else ()
        here = (each.metadata.name for each in programs if each.metadata.namespace == self._found.namespace)
        if _CONTROLLER in here:
            thing = f"{_CONTROLLER} in namespace {self._found.namespace}"
            said = "it takes Deployments labelled as managed for its own, and would put the closed product back"
            values = {(part, "managedByCASTAI"): "false" for part in (PINNER, EVICTOR)}
            self._plan.findings.append(Finding(thing, said, values))
            for part, key in values:
                self._wanted[part][key] = "false"

    def _beside_rights_of_others(self) -> None:
        """Terraform's modules of the closed product install a program's further rights as a release of their own."""
        for part in (PINNER, EVICTOR):
            if self._release(f"{part}-ext") is not None:
                why = "it holds rights of the closed program alone. Once Moorage's runs, remove it: helm uninstall"
                self._say(f"release {part}-ext", f"{why} {part}-ext -n {self._found.namespace}")

    def _say(self, thing: str, conclusion: str, part: str = "", values: Mapping[str, str] | None = None) -> None:
        named = {(part, key): value for key, value in (values or {}).items()}
        self._plan.findings.append(Finding(thing, conclusion, named))


def _stuck(found: Surroundings, steps: list[Step]) -> Iterator[str]:
    """Releases that Helm refuses to touch."""
    known: Mapping[str, Release] = {} if isinstance(found.releases, Hidden) else found.releases
    for each in dict.fromkeys(step.release for step in steps):
        release = known.get(each)
        if release is not None and release.status in _STUCK:
            way = f"helm uninstall {each}" if release.revision == 1 else f"helm rollback {each}"
            yield f"release {each} is {release.status}, and Helm refuses it: {way} -n {found.namespace} first"


def _taken(found: Surroundings, steps: list[Step]) -> Iterator[str]:
    """Names of new releases that others have: they would be overwritten, or lose what the new chart does not hold."""
    known: Mapping[str, Release] = {} if isinstance(found.releases, Hidden) else found.releases
    programs = found.programs if isinstance(found.programs, tuple) else ()
    here = [each for each in programs if each.metadata.namespace == found.namespace]
    holding = {each.metadata.annotations.get(RELEASE) for each in here}
    for each in (step for step in steps if step.installs):
        chart = known[each.release].chart if each.release in known else ""
        if each.release in holding or chart not in ("", each.chart):
            of, way = "and its chart cannot be seen", "run this as somebody who may list secrets"
            if chart:
                of, way = f"of chart {chart}", "choose another namespace with --namespace"
            yield f"release {each.release} is in namespace {found.namespace} already, {of}: {way}"


def _given_to(found: Surroundings, plan: Plan) -> Iterator[list[str]]:
    """Definitions of Moorage that are there already are given to the release that is to hold them."""
    release = next((each.release for each in plan.steps if _holds(each, PINNER)), "")
    wanted = {RELEASE: release, RELEASE_NAMESPACE: found.namespace}
    others = [name for name in DEFINITIONS if _belongs_elsewhere(found.definitions.get(name), wanted)]
    if release and others:
        conclusion = f"they are given to release {release}: Helm takes over nothing that is another's"
        plan.findings.append(Finding(f"{' and '.join(others)} of another release, or of none", conclusion))
        yield ["kubectl", "label", "--overwrite", "crd", *others, "app.kubernetes.io/managed-by=Helm"]
        yield ["kubectl", "annotate", "--overwrite", "crd", *others, *(f"{key}={name}" for key, name in wanted.items())]


def _holds(step: Step, part: str) -> bool:
    """Whether a release holds a part after the command."""
    return step.chart == part or (step.chart == UMBRELLA and step.values.get(f"{part}.enabled") != "false")


def _rules_of_others(found: Surroundings, steps: list[Step]) -> Iterator[str]:
    """Rules of an evictor that is gone, which Helm would not take over, and the chart would overwrite."""
    installs = next((each for each in steps if each.installs and _holds(each, EVICTOR)), None)
    if installs is None or not isinstance(found.rules, KubeObject):
        return
    if found.rules.metadata.annotations.get(RELEASE) != installs.release:
        yield (
            f"ConfigMap {found.namespace}/{RULES} is not of release {installs.release}: it may hold rules "
            f"of another evictor. Put what is to count into customConfig, delete it (kubectl delete configmap {RULES} "
            f"-n {found.namespace}), {AGAIN}"
        )


def _belongs_elsewhere(definition: object, wanted: Mapping[str, str]) -> bool:
    if not isinstance(definition, KubeObject):
        return False
    meta = definition.metadata
    owned = meta.labels.get("app.kubernetes.io/managed-by") == "Helm"
    return not owned or any(meta.annotations.get(key) != value for key, value in wanted.items())
