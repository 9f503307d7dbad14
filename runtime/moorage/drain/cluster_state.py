"""The state of the cluster for a drain at one moment: nodes, pods, workloads and budgets, with our own writes.

Pods are grouped by their top-level controller: a Deployment may have its pods in any of its ReplicaSets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import msgspec

from moorage.objects import Node, OwnerReference, Pod, PodDisruptionBudget, Workload
from moorage.scheduling.selector_index import anchor
from moorage.scheduling.selectors import Selector

from . import floor

_GROUPS = {
    "ReplicaSet": "apps",
    "ReplicationController": "",
    "StatefulSet": "apps",
}
"""The kinds of controllers that keep a number of pods, by API group."""


class Group(NamedTuple):
    """A workload: a top-level controller and its pods.

    Attributes:
        uid: the uid of the top-level controller.
        kind: its kind.
        workload: that controller. For an unknown kind, one of its ReplicaSets, with the sum of their replicas.
    """

    uid: str
    kind: str
    workload: Workload

    @property
    def who(self) -> str:
        """The name for people."""
        return f"{self.kind} {self.workload.key}"


@dataclass(frozen=True)
class ClusterState:
    """The state of the cluster at one moment.

    Attributes:
        now: the API server's time.
        nodes: by name.
        pods: all pods.
        workloads: ReplicaSets, ReplicationControllers, StatefulSets and Deployments, by kind and key.
        budgets: PodDisruptionBudgets by key.
        unseen: kinds that cannot be watched, each with the reason.
        unread: objects that are not fully readable, by kind and key, with the reason. The collections above hold their
            last readable state.
        unread_on: nodes with such pods, with the reason.
        virtual: nodes that exist only for one pod each, and do not count for the size of the cluster.
    """

    now: datetime
    nodes: Mapping[str, Node]
    pods: Collection[Pod]
    workloads: Mapping[str, Mapping[str, Workload]] = field(default_factory=dict)
    budgets: Mapping[str, PodDisruptionBudget] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unread_on: Mapping[str, str] = field(default_factory=dict)
    virtual: frozenset[str] = frozenset()

    def on(self, node: str) -> Sequence[Pod]:
        """The pods that are bound to a node."""
        return self._by_node.get(node, ())

    def pod(self, key: str, uid: str) -> Pod | None:
        """The pod with the same name and uid, or None."""
        found = self._by_key.get(key)
        return found if found is not None and found.metadata.uid == uid else None

    def selected(self, namespace: str, selector: Selector) -> list[Pod]:
        """The pods of a namespace that a selector selects."""
        one = anchor(selector)
        if one is None:
            pods: Iterable[Pod] = self._by_namespace.get(namespace, ())
        else:
            values = self._labelled(namespace, one.key)
            pods = (pod for value in dict.fromkeys(one.values) for pod in values.get(value, ()))
        return [pod for pod in pods if selector.matches(pod.metadata.labels)]

    def group(self, pod: Pod) -> Group | None:
        """The workload of a pod; None when it has no controller, or none that keeps a number of pods."""
        owner = pod.metadata.controller()
        return self._group_of(pod.metadata.namespace, owner) if owner is not None else None

    def again(self, group: Group) -> Group | None:
        """The current state of a workload; None when it does not exist any more."""
        if group.uid != group.workload.metadata.uid:
            return next((self._above(group.uid, each) for each in self._revisions.get(group.uid, ())), None)
        found = self.workloads.get(group.kind, {}).get(group.workload.key)
        return group._replace(workload=found) if found is not None and found.metadata.uid == group.uid else None

    def pods_of(self, uid: str) -> Sequence[Pod]:
        """The pods of a workload, by the uid of its top-level controller."""
        return self._by_group.get(uid, ())

    def doubt(self, kind: str, key: str) -> str:
        """Why the content of an object is unknown, for people; empty when it is known, or the object does not exist."""
        why = self.unseen.get(kind) or self.unread.get(kind, {}).get(key, "")
        return f"{kind} {key}: {why}" if why else ""

    def available(self, pod: Pod) -> bool:
        """Whether a pod is available, by the minReadySeconds of its controller."""
        if self.doubt("Pod", pod.key):
            return False
        owner = pod.metadata.controller()
        maker = self._maker(pod.metadata.namespace, owner) if owner is not None else None
        return floor.available(pod, maker.spec.min_ready_seconds if maker is not None else 0, self.now)

    # --- indexes ---

    @cached_property
    def _by_node(self) -> dict[str, list[Pod]]:
        return _grouped((pod.spec.node_name, pod) for pod in self.pods if pod.spec.node_name)

    @cached_property
    def _by_key(self) -> dict[str, Pod]:
        return {pod.key: pod for pod in self.pods}

    @cached_property
    def _by_namespace(self) -> dict[str, list[Pod]]:
        return _grouped((pod.metadata.namespace, pod) for pod in self.pods)

    @cached_property
    def _by_label(self) -> dict[tuple[str, str], dict[str, list[Pod]]]:
        return {}

    def _labelled(self, namespace: str, key: str) -> dict[str, list[Pod]]:
        """The pods of a namespace by the value of a label."""
        found = self._by_label.get((namespace, key))
        if found is None:
            pods = self._by_namespace.get(namespace, ())
            found = _grouped((value, pod) for pod in pods if (value := pod.metadata.labels.get(key)) is not None)
            self._by_label[namespace, key] = found
        return found

    @cached_property
    def _by_group(self) -> dict[str, list[Pod]]:
        grouped: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            group = self.group(pod)
            if group is not None:
                grouped[group.uid].append(pod)
        return grouped

    @cached_property
    def _known(self) -> dict[tuple[str, OwnerReference], Group | None]:
        return {}

    def _group_of(self, namespace: str, owner: OwnerReference) -> Group | None:
        which = (namespace, owner)
        if which not in self._known:
            self._known[which] = self._look_up(namespace, owner)
        return self._known[which]

    def _look_up(self, namespace: str, owner: OwnerReference) -> Group | None:
        maker = self._maker(namespace, owner)
        if maker is None:
            return None
        above = maker.metadata.controller()
        if owner.kind == "ReplicaSet" and above is not None and _is(above, "Deployment", "apps"):
            key = f"{namespace}/{above.name}"
            top = self.workloads.get("Deployment", {}).get(key)
            if top is None or top.metadata.uid != above.uid or self.doubt("Deployment", key):
                return None  # the replicas are unknown
            return Group(top.metadata.uid, "Deployment", top)
        if owner.kind == "ReplicaSet" and above is not None:
            return self._above(above.uid, maker)
        return Group(maker.metadata.uid, owner.kind, maker)

    def _above(self, uid: str, maker: Workload) -> Group:
        """The workload of a controller of an unknown kind. Its replicas are the sum over its ReplicaSets.

        A Rollout of Argo is such a controller: during an update, each revision has a part of the replicas.
        """
        wanted = sum(floor.wanted(each) for each in self._revisions.get(uid, ()))
        spec = msgspec.structs.replace(maker.spec, replicas=wanted)
        return Group(uid, "ReplicaSet", msgspec.structs.replace(maker, spec=spec))

    @cached_property
    def _revisions(self) -> dict[str, list[Workload]]:
        """ReplicaSets by the uid of their controller."""
        by_owner: defaultdict[str, list[Workload]] = defaultdict(list)
        for each in self.workloads.get("ReplicaSet", {}).values():
            if (above := each.metadata.controller()) is not None:
                by_owner[above.uid].append(each)
        return by_owner

    def _maker(self, namespace: str, owner: OwnerReference) -> Workload | None:
        """The controller of a pod, if its kind keeps a number of pods."""
        if owner.kind not in _GROUPS or not _is(owner, owner.kind, _GROUPS[owner.kind]):
            return None
        key = f"{namespace}/{owner.name}"
        found = self.workloads.get(owner.kind, {}).get(key)
        known = found is not None and found.metadata.uid == owner.uid and not self.doubt(owner.kind, key)
        return found if known else None


def _grouped(pairs: Iterable[tuple[str, Pod]]) -> dict[str, list[Pod]]:
    grouped: defaultdict[str, list[Pod]] = defaultdict(list)
    for key, pod in pairs:
        grouped[key].append(pod)
    return grouped


def _is(owner: OwnerReference, kind: str, group: str) -> bool:
    found, slash, _ = owner.api_version.partition("/")
    return owner.kind == kind and (found if slash else "") == group


def belongs_to_node(pod: Pod) -> bool:
    """Whether a pod belongs to its node: a static pod, or a pod of a DaemonSet."""
    owner = pod.metadata.controller()
    made_there = owner is not None and (_is(owner, "DaemonSet", "apps") or _is(owner, "Node", ""))
    return made_there or pod.is_mirror


def unscheduled(pod: Pod) -> bool:
    """Whether a pod waits for a node."""
    return not pod.spec.node_name and not pod.spec.scheduling_gates and pod.status.phase in ("", "Pending")
