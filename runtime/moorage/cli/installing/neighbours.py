"""What else is in a cluster, and what follows from it for an installation; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moorage.evictor.durations import duration
from moorage.objects import Namespace, Node
from moorage.wording import counted

from ..installed.gathering import Hidden
from ..installed.programs import Program
from .standing import EVICTOR, PARTS, PINNER
from .surroundings import MONITORING, Surroundings

OLDEST = (1, 33)
"""The charts' ``kubeVersion``."""
PREPARING = "scheduling.cast.ai/pod-pinning-preparing"
EVICTED = "evictor.cast.ai/evicted"
_POOLS = ("eks.amazonaws.com/nodegroup", "cloud.google.com/gke-nodepool", "kubernetes.azure.com/agentpool")
_PROFILES = {"aws": "aws", "gce": "gcp", "azure": "azure"}
_SLOWEST = 600.0
"""Seconds: cluster-autoscaler's defaults of both delays (pkg/config/flags/flags.go)."""
_PATIENCE = 900.0
"""Seconds: the evictor's default of ``emptyNodeTimeout``."""
_FLAG = re.compile(r"--?([a-z-]+)[= ](.+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        thing: what.
        conclusion: what follows.
        values: of charts, by part and key; they make the conclusion come true.
    """

    thing: str
    conclusion: str
    values: Mapping[tuple[str, str], str] = field(default_factory=dict)


def blockers(found: Surroundings) -> Iterator[str]:
    """Why nothing can be installed."""
    numbers = re.match(r"([0-9]+)\.([0-9]+)", found.version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield f"Kubernetes {found.version} is too old: {oldest} or newer is needed. Upgrade the cluster first"
    if isinstance(found.space, Namespace) and found.space.metadata.deletion_timestamp:
        yield f"namespace {found.namespace} is being deleted. Wait until it is gone, then run this again"


def findings(found: Surroundings) -> Iterator[Finding]:
    """Everything that bears on an installation, except what is installed already."""
    yield Finding(f"Kubernetes {found.version or 'of a version that it does not say'}", "1.33 or newer is needed")
    yield from _nodes(found)
    yield from _namespace(found)
    if "security.openshift.io" in found.groups:
        yield Finding("OpenShift", "it gives pods their ids: the charts leave out runAsUser, runAsGroup and fsGroup")
    yield from _autoscaler(found)
    if _has_karpenter(found):
        empty = "the evictor empties nodes of NodePools with consolidationPolicy: WhenEmpty only"
        yield Finding("Karpenter", f"{empty}. See docs/providers.md#karpenter")
    if _descheduler(found):
        leave = f"its policy must leave out placeholders and the taint {PREPARING}: else it evicts pinned pods"
        yield Finding("descheduler", f"{leave}. See docs/providers.md#descheduler")
    yield from _monitoring(found)
    if "cert-manager.io" in found.groups:
        own = "not needed: pod pinner and planner make and renew their certificates themselves"
        yield Finding("cert-manager", f"{own}. One of yours is named in webhook.existingSecret and tls.existingSecret")


def _nodes(found: Surroundings) -> Iterator[Finding]:
    if not isinstance(found.nodes, tuple):
        return
    nodes = [node for node in found.nodes if node.has_kubelet]
    able = [node for node in nodes if node.ready and not node.spec.unschedulable and _is_linux(node)]
    if not able:
        yield Finding("no Linux node that is Ready", "the pods wait until there is one")
    elif len(able) == 1:
        one = {(PINNER, "replicas"): "1"}
        yield Finding("1 Linux node that is Ready", "one replica of the pod pinner: a second would be beside it", one)
    else:
        yield Finding(f"{len(able)} Linux nodes that are Ready", "two replicas of the pod pinner, as is the default")
    yield from _profile(found, nodes)


def _profile(found: Surroundings, nodes: list[Node]) -> Iterator[Finding]:
    """Which provider profile fits."""
    schemes = {node.spec.provider_id.partition("://")[0] for node in nodes if "://" in node.spec.provider_id}
    clouds = sorted(schemes & _PROFILES.keys())
    pool = next((label for label in _POOLS for node in nodes if label in node.metadata.labels), "")
    late = {(PINNER, "provider.profile"): "late"}
    needs = f"pools of a plan register their machines with the taint {PREPARING}. See docs/guides/late-nodes.md"
    if _has_karpenter(found) or _autoscalers(found) or found.autoscaled is True:
        yield Finding("an autoscaler that makes the machines", f"no placeholders, because it names them; {needs}", late)
    elif pool:
        yield Finding(f"nodes of a managed pool ({pool})", f"no placeholders, because it names them; {needs}", late)
    elif len(clouds) == 1:
        profile = _PROFILES[clouds[0]]
        thing = f"nodes with a provider ID of {clouds[0]}"
        conclusion = "a placeholder stands once its instance exists; a plan says providerID"
        yield Finding(thing, conclusion, {(PINNER, "provider.profile"): profile})
    elif clouds:
        thing = f"nodes of {' and '.join(clouds)}"
        yield Finding(thing, "no profile fits all: each node of a plan says its own")
    elif nodes:
        yield Finding("nodes of no known cloud", "a placeholder stands at once, with profile generic, the default")


def _namespace(found: Surroundings) -> Iterator[Finding]:
    if found.space is None:
        yield Finding(f"no namespace {found.namespace}", "Helm creates it")
    elif not isinstance(found.space, Hidden):
        level = found.space.metadata.labels.get("pod-security.kubernetes.io/enforce", "")
        if level:
            met = "the pods satisfy it"
            more = "" if level == "privileged" else "; webhook.hostNetwork would not"
            yield Finding(f"Pod Security {level} in namespace {found.namespace}", f"{met}{more}")


def _autoscaler(found: Surroundings) -> Iterator[Finding]:
    programs = _autoscalers(found)
    if not programs and found.autoscaled is not True:
        return
    flags = _flags(programs[0]) if programs else {}
    wait = sum(_delay(flags, name) for name in ("scale-down-unneeded-time", "scale-down-delay-after-add"))
    values = {}
    conclusion = f"it waits {counted(wait / 60, 'minute')} before it deletes an emptied node"
    if wait >= _PATIENCE:
        values = {(EVICTOR, "emptyNodeTimeout"): f"{wait / 60 + 5:.0f}m"}
        conclusion += ", so the evictor must not hand the node back before"
    missing = [
        f"--{flag}={taint}"
        for flag, taint in (("startup-taint", PREPARING), ("status-taint", EVICTED))
        if taint not in flags.get(flag, "")
    ]
    if missing:
        conclusion += f"; give it {' '.join(missing)}"
    yield Finding("cluster-autoscaler", f"{conclusion}. See docs/providers.md#cluster-autoscaler", values)


def _autoscalers(found: Surroundings) -> list[Program]:
    programs = found.programs if isinstance(found.programs, tuple) else ()
    return [each for each in programs if _runs(each, "cluster-autoscaler")]


def _runs(program: Program, name: str) -> bool:
    """Whether a Deployment runs an image of this name."""
    images = (each.image.partition("@")[0].rpartition("/")[2] for each in program.spec.template.spec.containers)
    return any(image.partition(":")[0] in (name, f"{name}-amd64", f"{name}-arm64") for image in images)


def _flags(program: Program) -> dict[str, str]:
    """Flags by name; several of one name after each other."""
    found: dict[str, str] = {}
    for container in program.spec.template.spec.containers:
        for word in (*container.command, *container.args):
            if match := _FLAG.fullmatch(word.strip()):
                found[match[1]] = f"{found.get(match[1], '')} {match[2]}".strip()
    return found


def _delay(flags: Mapping[str, str], name: str) -> float:
    given = duration(flags.get(name, "").rpartition(" ")[2])
    return given.total_seconds() if given is not None else _SLOWEST


def _has_karpenter(found: Surroundings) -> bool:
    return "karpenter.sh" in found.groups


def _descheduler(found: Surroundings) -> bool:
    programs = found.programs if isinstance(found.programs, tuple) else ()
    return any(_runs(each, "descheduler") for each in programs) or bool(isinstance(found.crons, tuple) and found.crons)


def _monitoring(found: Surroundings) -> Iterator[Finding]:
    wanted = {"servicemonitors": "serviceMonitor.enabled", "prometheusrules": "prometheusRule.enabled"}
    values = {(part, key): "true" for plural, key in wanted.items() if plural in found.monitors for part in PARTS}
    if values:
        what = " and ".join(name for name in wanted if name in found.monitors)
        scraped = "metrics are scraped, and alerts are there, where Prometheus selects them (serviceMonitor.labels)"
        yield Finding(f"the Prometheus operator ({what})", scraped, values)
    elif MONITORING in found.groups:
        yield Finding(f"{MONITORING} without ServiceMonitors", "metrics have to be scraped by other means")


def _is_linux(node: Node) -> bool:
    return node.metadata.labels.get("kubernetes.io/os", node.status.node_info.operating_system or "linux") == "linux"
