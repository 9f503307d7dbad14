"""Tracks the replacements of a cycle: where each is to go, which are still to come, and where they run. No I/O.

A new pod counts as the replacement of any evicted pod of the same owner, because nothing shows which one it replaces.
If it comes to the destination of another replacement, the two exchange their destinations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from moorage.objects import Pod, Quantities
from moorage.reservations import Slot, moment
from moorage.reservations.destinations import MAX_SLOTS

from .moves import ReplacementMove

_NOWHERE = ""
"""Where a pod is that has no node yet."""
_ByMaker = defaultdict[str, Counter[str]]
"""Numbers of pods by node, by the uid of their direct owner."""


class Arrivals(NamedTuple):
    """How many replacements run, and where.

    Attributes:
        as_simulated: to the node where the simulation had put one.
        elsewhere: to another.
    """

    as_simulated: int = 0
    elsewhere: int = 0


class MoveTracking:
    """Tracks the moves of one cycle.

    Args:
        since: when it began, the API server's time; pods that are younger are replacements.
    """

    def __init__(self, since: datetime) -> None:
        self._since = since.replace(microsecond=0)  # creationTimestamp has whole seconds
        self._of: dict[str, tuple[ReplacementMove, ...]] = {}

    def foresee(self, remaining: Iterable[str], moves: Iterable[ReplacementMove]) -> None:
        """Replace the moves of nodes whose drain has not begun.

        Args:
            remaining: the nodes that the simulation was about.
            moves: theirs, as far as they could still go.
        """
        for name in remaining:
            self._of.pop(name, None)
        by_source: defaultdict[str, list[ReplacementMove]] = defaultdict(list)
        for each in moves:
            by_source[each.source].append(each)
        self._of |= {name: tuple(found) for name, found in by_source.items()}

    def coming(
        self, pods: Collection[Pod], remaining: Collection[str], leaving: Collection[str]
    ) -> list[ReplacementMove]:
        """Return the replacements that are still to come for pods of nodes whose drain has begun.

        Args:
            pods: all pods.
            remaining: the nodes whose drain has not begun.
            leaving: those that are being emptied.
        """
        there = _there(pods)
        coming: list[ReplacementMove] = []
        gone: list[ReplacementMove] = []
        for name, moves in self._of.items():
            if name not in remaining:
                for each in moves:
                    if each.uid not in there:
                        gone.append(each)
                    elif name in leaving:
                        coming.append(each)
        others = [each for name in remaining for each in self._of.get(name, ())]
        places = _Destinations(gone, others, _by_maker(pods, self._since))
        self._change(places.instead)
        for each in places.open:
            if places.strays[each.maker]:
                places.strays[each.maker] -= 1  # it has come, to a node that is no destination
            else:
                coming.append(each)
        return coming

    def slots(
        self, pods: Collection[Pod], remaining: Iterable[str], coming: Iterable[ReplacementMove], since: datetime
    ) -> dict[str, tuple[Slot, ...]]:
        """Return the slots to reserve, by node: pods that are still to come, and pods that have come since a time.

        Args:
            pods: all pods.
            remaining: the nodes whose drain has not begun.
            coming: the replacements that are still to be made for pods of the others.
            since: pods that are younger fill slots.
        """
        wanted = [*coming, *(each for name in remaining for each in self._of.get(name, ()))]
        return _slots(wanted, _by_maker(pods, since))

    def arrivals(self, pods: Collection[Pod], evicted: Collection[str]) -> Arrivals:
        """Count where the replacements of evicted pods run.

        Args:
            pods: all pods.
            evicted: the uids of the pods that were evicted.
        """
        moves = [each for found in self._of.values() for each in found]
        gone = [each for each in moves if each.uid in evicted]
        others = [each for each in moves if each.uid not in evicted]
        places = _Destinations(gone, others, _by_maker(pods, self._since))
        missed = Counter(each.maker for each in places.open)
        elsewhere = sum(min(count, places.strays[maker] - places.pending[maker]) for maker, count in missed.items())
        return Arrivals(len(gone) - len(places.open), elsewhere)

    def _change(self, instead: Mapping[str, str]) -> None:
        """Note other destinations of replacements, by the uid of the pod that each replaces."""
        if instead:
            for name, moves in self._of.items():
                self._of[name] = tuple(each._replace(node=instead.get(each.uid, each.node)) for each in moves)


class _Destinations:
    """Where replacements run.

    Args:
        gone: the moves whose pods are gone.
        others: those whose pods are not.
        come: the new pods.

    Attributes:
        instead: where those of ``gone`` are that have come to where one of ``others`` was to go, by uid.
        open: those that have come to no node that was meant for one.
        strays: new pods that are none of those, by their maker.
        pending: those of them that have no node yet.
    """

    def __init__(self, gone: Iterable[ReplacementMove], others: Iterable[ReplacementMove], come: _ByMaker) -> None:
        self.instead: dict[str, str] = {}
        self.open: list[ReplacementMove] = []
        meant = _ByMaker(Counter)
        for each in others:
            meant[each.maker][each.node] += 1
        elsewhere = []
        for each in gone:
            if come[each.maker][each.node] > 0:
                come[each.maker][each.node] -= 1
            else:
                elsewhere.append(each)
        for each in elsewhere:
            here, there = come[each.maker], meant[each.maker]
            node = next((name for name, count in sorted(here.items()) if count and there[name]), None)
            if node is None:
                self.open.append(each)
                continue
            here[node] -= 1
            there[node] -= 1
            self.instead[each.uid] = node
        self.strays = Counter({maker: sum(nodes.values()) for maker, nodes in come.items()})
        self.pending = Counter({maker: nodes[_NOWHERE] for maker, nodes in come.items()})


def _slots(moves: Iterable[ReplacementMove], come: _ByMaker) -> dict[str, tuple[Slot, ...]]:
    """The slots by node. They include pods that have come already, because the pod pinner counts those, too."""
    asked: dict[int, Quantities] = {}  # one replacement stands for all that are alike
    slots_on: defaultdict[str, dict[tuple[str, str], Slot]] = defaultdict(dict)
    for each in moves:
        requests = asked.get(id(each.replacement))
        if requests is None:
            requests = asked[id(each.replacement)] = each.requests()
        on_node, key = slots_on[each.node], (each.maker, str(requests))
        known = on_node.get(key)
        before = known.count if known is not None else come[each.maker].pop(each.node, 0)
        on_node[key] = Slot(owner=each.owner, requests=requests, count=before + 1)
    return {node: tuple(islice(slots.values(), MAX_SLOTS)) for node, slots in sorted(slots_on.items())}


def _by_maker(pods: Iterable[Pod], since: datetime) -> _ByMaker:
    """How many unfinished pods that were created since a time each owner has on each node."""
    begun, counts = since.replace(microsecond=0), _ByMaker(Counter)
    for pod in pods:
        owner = pod.metadata.controller()
        created = moment(pod.metadata.creation_timestamp or "") if owner is not None and not pod.finished else None
        if owner is not None and created is not None and created >= begun:
            counts[owner.uid][pod.spec.node_name or _NOWHERE] += 1
    return counts


def _there(pods: Iterable[Pod]) -> set[str]:
    """The uids of the pods that are neither finished nor being deleted."""
    return {pod.metadata.uid for pod in pods if pod.metadata.deletion_timestamp is None and not pod.finished}
