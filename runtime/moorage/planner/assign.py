"""Assigns pods to nodes, from the plan, the current pods, and earlier assignments.

The result does not depend on when it is computed. Entries are served in the plan's order, and pods oldest first. A pod
that is already on a planned node (bound, or pinned before a restart of the planner) stays there.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moorage.objects import Pod
from moorage.protocol import Owner, PodRef
from moorage.protocol.validate import MAX_PODS
from moorage.scheduling import requests

from .plan import Plan, PlannedNode, Wanted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lacking:
    """An entry of the plan that has too few pods."""

    node: str
    wanted: Wanted
    found: int

    def __str__(self) -> str:
        """For people: ``node n-1, line 12: 6 × Deployment/web in shop: 4 found``."""
        return f"node {self.node}, line {self.wanted.line}: {self.wanted}: {self.found or 'none'} found"


class Assigner:
    """Assigns pods for one plan, and keeps its assignments.

    Args:
        plan: the plan.
        before: the pods that this plan has pinned earlier: uid to node name.
    """

    def __init__(self, plan: Plan, before: Mapping[str, str] | None = None) -> None:
        self._plan = plan
        self._node_of = dict(before or {})
        self._told: set[str] = set()
        self.lacking: tuple[Lacking, ...] = ()

    @property
    def decided(self) -> dict[str, str]:
        """The node of every assigned pod, by the pod's uid."""
        return dict(self._node_of)

    def follow(self, plan: Plan) -> None:
        """Use a changed plan from now on. Pods of nodes that it does not contain any more are free again."""
        names = {node.name for node in plan.nodes}
        for uid in [uid for uid, node in self._node_of.items() if node not in names]:
            del self._node_of[uid]
            self._told.discard(uid)
        self._plan = plan

    def update(self, pods: Iterable[Pod]) -> list[tuple[str, tuple[PodRef, ...]]]:
        """Assign the current pods.

        Args:
            pods: all pods of the cluster, in any order; empty when the cluster is not watched.

        Returns:
            For each node, the pods to pin there that were not returned before, at most 1000 per item. Pods that are
            bound there already are included: pinning them succeeds at once.
        """
        late = {node.name for node in self._plan.nodes if node.late}
        pods_now = _Pods(pods, self._node_of, {node.name for node in self._plan.nodes}, late)
        chosen: dict[str, list[PodRef]] = {node.name: [] for node in self._plan.nodes}
        for node in self._plan.nodes:
            exact = [wanted.exact for wanted in node.pods if wanted.exact is not None]
            chosen[node.name] += exact
            pods_now.use(exact)
        lacking = []
        for node in self._plan.nodes:
            for wanted in node.pods:
                if wanted.exact is not None:
                    continue
                picked = pods_now.take(wanted, node.name, wanted.count or 1)
                chosen[node.name] += picked
                if len(picked) < (wanted.count or 1):
                    lacking.append(Lacking(node.name, wanted, len(picked)))
        for wanted in self._plan.fill:
            self._fill(wanted, pods_now, chosen)
        self.lacking = tuple(lacking)
        self._node_of = {pod.uid: node for node, refs in chosen.items() for pod in refs}
        return [pins for node, refs in chosen.items() for pins in self._news(node, refs)]

    def _fill(self, wanted: Wanted, pods_now: _Pods, chosen: dict[str, list[PodRef]]) -> None:
        """Assign these pods to the nodes, in order, as far as there is room."""
        for node in self._plan.nodes:
            if node.promise is None:
                continue
            room = pods_now.room(node, chosen[node.name])
            chosen[node.name] += pods_now.take(wanted, node.name, wanted.count or MAX_PODS, room)

    def _news(self, node: str, pods: list[PodRef]) -> list[tuple[str, tuple[PodRef, ...]]]:
        fresh = [pod for pod in pods if pod.uid not in self._told]
        self._told.update(pod.uid for pod in fresh)
        return [(node, tuple(fresh[start : start + MAX_PODS])) for start in range(0, len(fresh), MAX_PODS)]


class _Pods:
    """The pods of one moment: assigned to a node, free, or used by an entry."""

    def __init__(self, pods: Iterable[Pod], node_of: Mapping[str, str], nodes: set[str], late: set[str]) -> None:
        living = (pod for pod in pods if not pod.finished and pod.metadata.deletion_timestamp is None)
        self._pods = sorted(living, key=_age)
        self._by_uid = {pod.metadata.uid: pod for pod in self._pods}
        self._place: dict[str, str] = {}
        self._on: dict[str, list[Pod]] = defaultdict(list)
        for pod in self._pods:
            uid = pod.metadata.uid
            decided = node_of.get(uid, "")
            # The Node name of a late node is unknown here. A pod assigned to it counts as being there.
            bound = pod.spec.node_name
            place = decided if decided in late and bound not in nodes else bound or decided
            if place and not pod.spec.node_name and place not in nodes:
                place = ""
            self._place[uid] = place
            self._on[place].append(pod)
        self._used: set[str] = set()
        self._matching: dict[tuple[object, ...], list[Pod]] = {}

    def use(self, pods: Iterable[PodRef]) -> None:
        """Mark pods as used."""
        self._used.update(pod.uid for pod in pods)

    def take(self, wanted: Wanted, node: str, count: int, room: dict[str, int] | None = None) -> list[PodRef]:
        """Select pods for a node: first those that are there, then free ones, oldest first.

        Args:
            wanted: the entry of the plan.
            node: the node.
            count: the largest number of pods.
            room: the units that are left on the node. Free pods that need more are skipped.
        """
        there = [pod for pod in self._on[node] if pod.metadata.uid not in self._used and _matches(wanted, pod)]
        picked = there[:count]
        self._used.update(pod.metadata.uid for pod in picked)
        for pod in self._candidates(wanted):
            if len(picked) >= count:
                break
            uid = pod.metadata.uid
            if uid not in self._used and (room is None or _fits(pod, room)):
                self._used.add(uid)
                picked.append(pod)
        return [PodRef(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid) for pod in picked]

    def room(self, node: PlannedNode, chosen: list[PodRef]) -> dict[str, int]:
        """The units of a promise that are left: without pods on the node, pods chosen for it, and expected pods."""
        assert node.promise is not None  # noqa: S101 - the caller has looked
        room, _ = requests.allocatable(dict(node.promise.allocatable))
        static, _ = requests.allocatable(dict(node.promise.static_pods))
        _subtract(room, static, 1)
        pods = {pod.metadata.uid: pod for pod in self._on[node.name]}
        pods |= {ref.uid: self._by_uid[ref.uid] for ref in chosen if ref.uid in self._by_uid}
        for pod in pods.values():
            _subtract(room, _needs(pod) or {}, 1)
        for slot in node.slots:
            needs, _ = requests.allocatable(dict(slot.requests))
            _subtract(room, needs | {"pods": 1}, slot.count)
        return room

    def _candidates(self, wanted: Wanted) -> list[Pod]:
        """The free pods that match. Computed once for all nodes with the same entry; the list only shrinks."""
        key = (wanted.namespace, wanted.name, wanted.uid, wanted.owner, wanted.labels)
        matching = self._matching.get(key)
        if matching is None:
            matching = [pod for pod in self._on[""] if _matches(wanted, pod)]
        matching = self._matching[key] = [pod for pod in matching if pod.metadata.uid not in self._used]
        return matching


def top_owner(pod: Pod) -> Owner | None:
    """The controller that a user knows. For a pod of a ReplicaSet that is the Deployment, found by the name's parts."""
    controller = pod.metadata.controller()
    if controller is None:
        return None
    if name := pod.deployment:
        return Owner("Deployment", pod.metadata.namespace, name)
    return Owner(controller.kind, pod.metadata.namespace, controller.name)


def _matches(wanted: Wanted, pod: Pod) -> bool:
    meta = pod.metadata
    if meta.namespace != wanted.namespace:
        return False
    if wanted.name:
        return meta.name == wanted.name and wanted.uid in ("", meta.uid)
    if wanted.owner is not None:
        controller = meta.controller()
        direct = controller is not None and (controller.kind, controller.name) == (wanted.owner.kind, wanted.owner.name)
        return direct or top_owner(pod) == wanted.owner
    return all(meta.labels.get(key) == value for key, value in wanted.labels)


def _age(pod: Pod) -> tuple[str, str, str]:
    return pod.metadata.creation_timestamp or "", pod.metadata.namespace, pod.metadata.name


def _needs(pod: Pod) -> dict[str, int] | None:
    """The units that a pod uses, including one of ``pods``; None when its requests cannot be read."""
    try:
        return requests.pending(pod) | {"pods": 1}
    except requests.RequestError as error:
        logger.warning("requests of a pod cannot be read", extra={"pod": pod.key, "error": str(error)})
        return None


def _fits(pod: Pod, room: dict[str, int]) -> bool:
    """Whether a pod fits into the room. If it does, its units are subtracted from the room."""
    needs = _needs(pod)
    if needs is None or any(amount > room.get(resource, 0) for resource, amount in needs.items()):
        return False
    _subtract(room, needs, 1)
    return True


def _subtract(room: dict[str, int], needs: Mapping[str, int], times: int) -> None:
    for resource, amount in needs.items():
        room[resource] = room.get(resource, 0) - amount * times
