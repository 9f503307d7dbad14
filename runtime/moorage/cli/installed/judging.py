"""The state of each part of an installation, what needs attention, and what could not be read; pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from moorage.controller.leader import Leader
from moorage.pinner.commands.overview import Held, Overview
from moorage.wording import counted, followed

from ..attention import BAD, GOOD, why
from ..durations import span
from ..parser import typed_as
from . import evicting
from .gathering import EVICTOR, PINNER, PLANNER, Gathered, Hidden
from .programs import Program


class State(enum.Enum):
    """How a part stands."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"
    ABSENT = "not installed"


@dataclass
class Part:
    """One part of an installation.

    Attributes:
        name: of the part.
        summary: what it is, in a few words.
        facts: what is known, by name, in the order in which it is shown.
        problems: what needs attention: the thing, the reason, the way out.
        unseen: what could not be read and would matter.
        installed: whether it is there, as far as can be seen.
    """

    name: str
    summary: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    installed: bool = True

    @property
    def state(self) -> State:
        """How it stands, in one word."""
        if self.problems:
            return State.ATTENTION
        if self.unseen:
            return State.UNKNOWN
        return State.OK if self.installed else State.ABSENT

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"state": self.state.value, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Reserved:
    """Reservations in numbers.

    Attributes:
        states: how many are in each state; what needs attention first.
        attention: why some need attention, by node.
        bound: how many pinned pods are bound, of ``pinned``.
        come: how many expected pods have come, of ``expected``.
    """

    states: Mapping[str, int]
    attention: Mapping[str, str]
    pinned: int
    bound: int
    expected: int
    come: int


def judge(found: Gathered) -> tuple[Part, ...]:
    """Every part of an installation, in the order in which it is shown."""
    parts = _pinner(found), _evictor(found), _planner(found)
    if not any(part.installed or part.unseen or part.problems for part in parts):
        where = f"in namespace {found.namespace}"
        parts[0].problems.append(f"nothing of Moorage is installed {where}. Is it elsewhere? Name it with --namespace")
    return parts


def reserved(found: Overview, gathered: Gathered) -> Reserved:
    """Reservations in numbers."""
    states = Counter(held.state or "new" for held in found.nodes)
    attention = {held.node: reason for held in found.nodes if (reason := why(held, gathered.now))}
    slots = [slot for held in found.nodes for slot in held.slots]
    return Reserved(
        states={state: states[state] for state in sorted(states, key=_weight)},
        attention=attention,
        pinned=sum(len(held.pods) for held in _nodes(found)),
        bound=sum(held.bound for held in _nodes(found)),
        expected=sum(slot.count for slot in slots),
        come=sum(slot.count - slot.left for slot in slots),
    )


def _nodes(found: Overview) -> Iterator[Held]:
    return (held for held in found.nodes if held.kind == "NodeReservation")


def _weight(state: str) -> tuple[bool, bool, str]:
    return state not in BAD, state in GOOD, state


# --- the parts ---


def _pinner(found: Gathered) -> Part:
    part = Part("pod pinner")
    there, promised = _is_there(found, PINNER, part), found.promised
    if isinstance(promised, Hidden) and not there:
        _reservations(found, part)
        return part
    if not there and not (isinstance(promised, Overview) and promised.nodes):
        part.facts["reservations"] = "not defined in this cluster" if promised is None else "none"
        return part
    if not there:  # somebody has promised nodes
        part.problems.append(
            f"there are reservations, and no pod pinner in namespace {found.namespace}. Is it elsewhere? Name it with "
            f"--namespace. Was it removed? See {typed_as('cleanup')} --dry-run"
        )
        _reservations(found, part)
        return part
    _mode(found, part)
    _leads(found, PINNER, part)
    _connection(found, part)
    _webhook(found, part)
    _reservations(found, part)
    return part


def _mode(found: Gathered, part: Part) -> None:
    program = None if isinstance(found.programs, Hidden) else found.programs.get(PINNER)
    if program is not None and program.setting("MOORAGE_DRY_RUN") == "true":
        part.facts["mode"] = "dry run: it answers instructions and changes nothing"


def _is_there(found: Gathered, command: str, part: Part) -> bool:
    """Whether a program is installed: it has a Deployment, or holds its Lease without one."""
    where = f"in namespace {found.namespace}"
    if isinstance(found.programs, Hidden):
        part.unseen.append(f"Deployments {where}: {found.programs.reason}")
        part.summary = "its Deployment cannot be seen"
        return True
    program = found.programs.get(command)
    if program is not None:
        _replicas(program, part)
        return True
    leader = found.leaders.get(command)
    if isinstance(leader, Leader) and leader.valid:
        part.summary = f"no Deployment {where}; it runs elsewhere"
        return True
    part.summary, part.installed = f"there is none {where}", False
    return False


def _replicas(program: Program, part: Part) -> None:
    name, wanted, ready = program.metadata.name, program.spec.replicas, program.status.ready_replicas
    part.summary = f"{name}: {ready} of {counted(wanted, 'replica')} Ready"
    logs = f"kubectl logs -n {program.metadata.namespace} deployment/{name}"
    if not wanted:
        part.problems.append(f"Deployment {name} is scaled to 0: nothing is done. Set replicas")
    elif not ready:
        part.problems.append(f"Deployment {name} has no Ready replica: nothing is done. See {logs}")
    elif ready < wanted:
        part.problems.append(f"Deployment {name} has {ready} of {counted(wanted, 'replica')} Ready. See {logs}")


def _leads(found: Gathered, command: str, part: Part) -> None:
    leader, lease = found.leaders.get(command), f"Lease {found.namespace}/{found.leases[command]}"
    if isinstance(leader, Hidden):
        part.unseen.append(f"{lease}: {leader.reason}")
        part.facts["leader"] = "cannot be seen"
    elif leader is None or not leader.holder:
        part.facts["leader"] = "none"
        part.problems.append(f"nobody leads: {lease} is held by nobody. Look at the pods and their logs")
    elif not leader.valid:
        age = span(leader.age.total_seconds())
        part.facts["leader"] = f"none; {leader.pod} was the last"
        part.problems.append(f"nobody leads: {lease} was renewed {age} ago by {leader.pod}, which is gone or stuck")
    else:
        part.facts["leader"] = f"{leader.pod}, renewed {span(leader.age.total_seconds())} ago"


def _connection(found: Gathered, part: Part) -> None:
    """Whether a planner has welcomed the leader: by the leader's metrics, else by the planner's."""
    metrics = found.metrics.get(PINNER)
    planner = found.metrics.get(PLANNER)
    if isinstance(metrics, Mapping) and "moorage_stream_connected" in metrics:
        if metrics["moorage_stream_connected"]:
            part.facts["planner"] = "connected"
        else:
            part.facts["planner"] = "not connected"
            part.problems.append(f"no planner is connected: no new instructions come. {typed_as('check')} says why")
    elif isinstance(planner, Mapping) and planner.get("moorage_planner_pinners"):
        part.facts["planner"] = "connected, as the planner says"
    else:
        reason = metrics.reason if isinstance(metrics, Hidden) else "its metrics are not served through the API server"
        part.facts["planner"] = f"cannot be seen: {reason}"


def _webhook(found: Gathered, part: Part) -> None:
    leader = found.leaders.get(PINNER)
    leads = isinstance(leader, Leader) and leader.valid
    if isinstance(found.webhooks, Hidden):
        part.facts["webhook"] = f"cannot be seen: {found.webhooks.reason}"
    elif found.webhooks is None:
        part.facts["webhook"] = "not installed"
    elif not found.webhooks:
        part.facts["webhook"] = "idle: no pods are expected, so the API server does not ask"
    elif leads:
        part.facts["webhook"] = "serving: the API server asks the leader about each new pod"
    else:
        part.facts["webhook"] = "not serving"
        part.problems.append("the API server asks a webhook, and nobody leads: pods are created unchanged meanwhile")


def _reservations(found: Gathered, part: Part) -> None:
    if isinstance(found.promised, Hidden):
        part.unseen.append(f"reservations and pods: {found.promised.reason}")
        part.facts["reservations"] = "cannot be seen"
        return
    if found.promised is None:
        part.facts["reservations"] = "not defined"
        part.problems.append(
            "NodeReservation is not defined in this cluster: nothing can be promised. Install the chart with "
            "crds.enabled=true"
        )
        return
    numbers = reserved(found.promised, found)
    states = ", ".join(f"{count} {state}" for state, count in numbers.states.items())
    part.facts["reservations"] = f"{len(found.promised.nodes)}: {states}" if states else "none"
    placeholders = found.placeholders
    part.facts["placeholders"] = f"{placeholders}" if isinstance(placeholders, int) else "cannot be seen"
    part.facts["pins"] = f"{numbers.bound} of {counted(numbers.pinned, 'pod')} bound"
    if numbers.expected:
        part.facts["expected"] = f"{numbers.come} of {counted(numbers.expected, 'pod')} came"
    wanting = numbers.attention.items()
    see = f"See {typed_as('pins')}"
    part.problems += [followed(f"reservation {node}: {reason}", f"{see} {node}") for node, reason in wanting]


def _evictor(found: Gathered) -> Part:
    part = Part("evictor")
    if not _is_there(found, EVICTOR, part):
        return part
    program = None if isinstance(found.programs, Hidden) else found.programs.get(EVICTOR)
    if program is None or program.setting("MOORAGE_LEADER_ELECTION") != "false":
        _leads(found, EVICTOR, part)
    if isinstance(found.config, Hidden):
        part.unseen.append(f"EvictorConfig: {found.config.reason}")
    config = None if isinstance(found.config, Hidden) else found.config
    part.facts.update(evicting.facts(program, config, found.now))
    metrics = found.metrics.get(EVICTOR)
    if config is None and isinstance(metrics, Mapping):
        part.facts["last look"] = evicting.by_metrics(metrics)
    part.problems += evicting.problems(config)
    return part


def _planner(found: Gathered) -> Part:
    part = Part("planner")
    if not _is_there(found, PLANNER, part):
        return part
    metrics = found.metrics.get(PLANNER)
    if isinstance(metrics, Mapping):
        if metrics.get("moorage_planner_plan_valid") == 0:
            part.facts["plan"] = "not valid; the one before it is served"
            part.problems.append(
                f"the plan file is not a plan as it stands. {typed_as('validate')} plan FILE says where"
            )
        part.facts["pod pinners"] = f"{metrics.get('moorage_planner_pinners', 0):.0f} connected"
    elif isinstance(metrics, Hidden):
        part.facts["pod pinners"] = f"cannot be seen: {metrics.reason}"
    return part
