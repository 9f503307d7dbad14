"""Explains one node or pod: may it go, does it, what speaks against it, and where would pods go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from moorage.evictor.candidates import NodeReason, PodReason, PodVerdict, Stance
from moorage.evictor.compaction import KeptReason
from moorage.objects import Pod

from . import display, guide_links
from .build import node_report, why
from .columns import BOLD, GREEN, YELLOW, Paint
from .data import indented
from .input import ReportInput
from .model import Data, NodeReport, Why
from .room import PodDestination, opened
from .simulated import Simulated

_NEAREST = 3
_SAMPLE = 200_000
"""With more names, similar ones are not searched."""


class UnknownName(Exception):
    """There is no object of that name.

    Args:
        kind: ``node`` or ``pod``.
        name: the unknown name.
        nearest: the most similar names.
    """

    def __init__(self, kind: str, name: str, nearest: tuple[str, ...]) -> None:
        hint = f"did you mean {' or '.join(map(display.plain, nearest))}?" if nearest else "nothing is named like that"
        super().__init__(f"there is no {kind} {display.plain(name)!r}: {hint}")
        self.kind = kind
        self.name = name
        self.nearest = nearest


class NodeExplanation(Data, frozen=True):
    """One node.

    Attributes:
        node: what the report says of it.
        unit: in what its price is.
        places: where its pods would go that would have to be moved, as if nothing spoke against it; in the order of
            the plan when it is chosen, else one after the other once the plan is carried out.
        stays: how many pods go with it.
    """

    node: NodeReport
    unit: str
    places: tuple[PodDestination, ...]
    stays: int

    def json(self) -> str:
        """The same as JSON."""
        return indented(self)

    def text(self, colour: bool = False) -> str:
        """The same for people.

        Args:
            colour: whether the terminal shows colours.
        """
        return "\n".join(_of_node(self, Paint(colour))) + "\n"


class Cause(Data, frozen=True):
    """A reason about a pod.

    Attributes:
        reason: its name.
        sentence: the same for people.
        detail: its particulars.
        guide: where more is said about it.
        unless_disposable: whether it does not count for a pod that is disposable.
    """

    reason: str
    sentence: str
    detail: str
    guide: str
    unless_disposable: bool


class PodExplanation(Data, frozen=True):
    """One pod.

    Attributes:
        pod: ``namespace/name``.
        node: where it is; empty: nowhere yet.
        controllers: from the direct owner to the top, as far as they are known.
        stance: ``holds`` its node, ``moves`` or ``stays`` (goes with it); empty when it is on no node that was seen.
        reasons: why, the weightiest first.
        moves_to: where its replacement goes by the plan; empty when the plan does not move it.
        place: where its replacement would go, or the pod itself when it waits for a node; null when there is no answer.
    """

    pod: str
    node: str
    controllers: tuple[str, ...]
    stance: str
    reasons: tuple[Cause, ...]
    moves_to: str
    place: PodDestination | None

    def json(self) -> str:
        """The same as JSON."""
        return indented(self)

    def text(self, colour: bool = False) -> str:
        """The same for people.

        Args:
            colour: whether the terminal shows colours.
        """
        return "\n".join(_of_pod(self, Paint(colour))) + "\n"


def explain_node(evaluation: ReportInput, name: str) -> NodeExplanation:
    """Everything about one node.

    Args:
        evaluation: what was found; nothing of it is changed in the end.
        name: the node's.

    Raises:
        UnknownName: there is no such node.
    """
    verdict = evaluation.cluster.verdicts.get(name)
    if verdict is None:
        raise UnknownName("node", name, _nearest(name, evaluation.cluster.verdicts))
    node = node_report(evaluation, name)
    going = [pod.key for pod in verdict.pods if pod.stance is Stance.MOVES]
    if node.chosen:
        places = tuple(PodDestination(move.pod, move.node) for move in node.moves)
    elif going and name in evaluation.cluster.snapshot.nodes.slots:
        with opened(evaluation, simulated := Simulated(evaluation)) as room:
            places = tuple(room.move(key, name) for key in _largest_first(evaluation, simulated, going))
    else:
        places = ()
    stays = sum(pod.stance is Stance.STAYS for pod in verdict.pods)
    return NodeExplanation(node, evaluation.plan.unit.value, places, stays)


def explain_pod(evaluation: ReportInput, key: str) -> PodExplanation:
    """Everything about one pod.

    Args:
        evaluation: what was found; nothing of it is changed in the end.
        key: ``namespace/name``.

    Raises:
        UnknownName: there is no such pod.
    """
    simulated = Simulated(evaluation)
    pod = simulated.pod(key)
    if pod is None:
        raise UnknownName("pod", key, _nearest_pods(key, [each.key for each in evaluation.cluster.view.pods]))
    node = pod.spec.node_name
    found = evaluation.cluster.verdicts.get(node)
    verdict = next((each for each in found.pods if each.key == key), None) if found is not None else None
    moves_to = next((move.node for each in evaluation.plan.chosen for move in each.moves if move.pod == key), "")
    controllers = simulated.controllers(key)
    chain = [f"{kind} {each.key}" for kind, each in zip(controllers.kinds, controllers.objects, strict=False)]
    return PodExplanation(
        pod=key,
        node=node,
        controllers=tuple(chain or ([controllers.direct_owner] if controllers.direct_owner else [])),
        stance=verdict.stance.value if verdict is not None else "",
        reasons=tuple(_causes(verdict)),
        moves_to=moves_to,
        place=None if moves_to else _place(evaluation, simulated, pod, verdict),
    )


def _place(
    evaluation: ReportInput, simulated: Simulated, pod: Pod, verdict: PodVerdict | None
) -> PodDestination | None:
    waits = not pod.spec.node_name and not pod.finished and pod.metadata.deletion_timestamp is None
    if waits and not pod.spec.scheduling_gates:
        with opened(evaluation, simulated, planned=False) as room:
            return room.wait(pod.key, pod)
    if verdict is not None and verdict.stance is not Stance.STAYS:
        with opened(evaluation, simulated) as room:
            return room.move(pod.key, pod.spec.node_name)
    return None


def _causes(verdict: PodVerdict | None) -> Iterator[Cause]:
    for found in verdict.findings if verdict is not None else ():
        told = why(found)
        yield Cause(
            told.reason, told.sentence, told.detail, guide_links.link(found.reason), guide_links.is_guard(found.reason)
        )


def _largest_first(evaluation: ReportInput, simulated: Simulated, keys: list[str]) -> list[str]:
    """Pods in the order in which the choice moves them: by their share of all resources."""
    snapshot = evaluation.cluster.snapshot
    has: Counter[int] = Counter()
    for slot in snapshot.nodes.slots.values():
        offered = snapshot.nodes.record(slot).offered
        has.update({snapshot.resources.row(name): units for name, units in offered.items()})

    def size(key: str) -> float:
        return sum(units / max(has[row], 1) for row, units in snapshot.classes.of(simulated.replacement(key)).usage)

    return sorted(keys, key=lambda key: (-size(key), key))


# --- names ---


def _nearest(name: str, names: Collection[str]) -> tuple[str, ...]:
    import difflib  # only a typing error needs it

    return tuple(difflib.get_close_matches(name, names, _NEAREST)) if len(names) <= _SAMPLE else ()


def _nearest_pods(key: str, keys: list[str]) -> tuple[str, ...]:
    """Pods of that name in other namespaces first, then similar names."""
    name = key.rpartition("/")[2]
    same = sorted(each for each in keys if each.rpartition("/")[2] == name)
    if same:
        return tuple(same[:_NEAREST])
    if "/" in key:
        return _nearest(key, keys)
    by_name = {each.rpartition("/")[2]: each for each in reversed(keys)}
    return tuple(by_name[each] for each in _nearest(name, by_name))


# --- texts ---


def _of_node(explained: NodeExplanation, paint: Paint) -> Iterator[str]:
    node = explained.node
    name = display.plain(node.name)
    if node.chosen:
        answer = "could go"
    elif node.may_go:
        answer = "may go, and stays"
    else:
        answer = "stays: it may not be emptied"
    yield paint(f"Node {name} {answer}.", BOLD)
    facts = [display.plain(each) for each in (node.instance_type, node.zone and f"zone {node.zone}") if each]
    cpu, memory, pods = display.cells(node.usage)
    price = display.priced(node.price, explained.unit)
    yield "  " + ", ".join([*facts, node.capacity_type, price, f"CPU {cpu}", f"memory {memory}", f"pods {pods}"])
    if node.reasons or node.kept:
        yield ""
        yield from _causes_of_node(node, paint)
    if node.holders:
        yield ""
        yield f"{display.count(len(node.holders), 'pod holds', 'pods hold')} it:"
    for held in node.holders:
        of = f" ({display.plain(held.controller)})" if held.controller else ""
        yield f"  {display.plain(held.pod)}{of}"
        yield from (f"    {_line(each, paint, guide_links.link(PodReason[each.reason]))}" for each in held.reasons)
    yield from _places(explained, paint)
    if explained.stays:
        yield ""
        yield f"{display.count(explained.stays, 'pod goes', 'pods go')} with it, in nobody's way."


def _causes_of_node(node: NodeReport, paint: Paint) -> Iterator[str]:
    yield "Why it stays:"
    yield from (f"  {_line(each, paint, guide_links.link(NodeReason[each.reason]))}" for each in node.reasons)
    yield from (f"  {_line(each, paint, guide_links.link(KeptReason[each.reason]))}" for each in node.kept)


def _line(each: Why, paint: Paint, where: str) -> str:
    pod = f"; pod {display.plain(each.pod)}" if each.pod else ""
    return f"{paint(each.reason, YELLOW)}: {display.plain(str(each))}{pod}. See {where}"


def _places(explained: NodeExplanation, paint: Paint) -> Iterator[str]:
    fitting = [each for each in explained.places if each.node]
    stuck = [each for each in explained.places if not each.node]
    if fitting:
        yield ""
        if explained.node.chosen:
            yield f"{display.count(len(fitting), 'pod')} would move:"
        else:
            yield f"Where {display.count(len(fitting), 'pod')} of it would find room once the plan is carried out:"
        yield from (f"  {display.plain(each.pod)} → {paint(display.plain(each.node), GREEN)}" for each in fitting)
    if stuck:
        yield ""
        yield f"{display.count(len(stuck), 'pod fits', 'pods fit')} nowhere once the plan is carried out:"
    told = [each for each in stuck if each.against or not each.of]
    for each in told:
        yield from (f"  {line}" for line in _nowhere(each))
    if more := [each.pod for each in stuck if each not in told]:
        yield f"  and {display.some(more, 'more pod')}"


def _nowhere(destination: PodDestination) -> Iterator[str]:
    counted = ", ".join(f"{each.nodes:,} {display.plain(each.reason)}" for each in destination.against)
    yield f"{display.plain(destination.pod)}: 0/{destination.of:,} nodes take it: {counted or 'there is none'}."
    for near in destination.closest:
        yield f"  {display.plain(near.node)}: {display.plain('; '.join(near.against))}"


def _of_pod(explained: PodExplanation, paint: Paint) -> Iterator[str]:
    answers = {
        "holds": "holds its node",
        "moves": "may be evicted",
        "stays": "goes with its node, and is in nobody's way",
        "": "is on no node that was seen" if explained.node else "has no node yet",
    }
    yield paint(f"Pod {display.plain(explained.pod)} {answers[explained.stance]}.", BOLD)
    if explained.node:
        yield f"  node: {display.plain(explained.node)}"
    if explained.controllers:
        yield f"  controllers: {display.plain(', '.join(explained.controllers))}"
    if explained.reasons:
        yield ""
        yield "Why:"
    for each in explained.reasons:
        yield f"  {_line(Why(each.reason, each.sentence, each.detail), paint, each.guide)}"
        if each.unless_disposable:
            yield "    It does not count for a pod that is disposable."
    yield from _where(explained, paint)


def _where(explained: PodExplanation, paint: Paint) -> Iterator[str]:
    """Where the pod would fit; for a pod that is never evicted, where a pod like it would."""
    destination = explained.place
    if destination is None and not explained.moves_to:
        return
    yield ""
    if explained.moves_to:
        yield f"By the plan its replacement goes to {paint(display.plain(explained.moves_to), GREEN)}."
        return
    it = "It" if not explained.node else "Its replacement" if explained.stance == "moves" else "Another pod like it"
    if destination is not None and destination.node:
        node = paint(display.plain(destination.node), GREEN)
        yield (
            f"{it} would find room on {node} once the plan is carried out."
            if explained.node
            else (f"Room is kept for it on {node}.")
        )
    elif destination is not None:
        yield f"{it} would fit nowhere once the plan is carried out:" if explained.node else f"{it} fits nowhere now:"
        yield from (f"  {line}" for line in _nowhere(destination))
