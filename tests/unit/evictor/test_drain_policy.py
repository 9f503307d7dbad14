"""The current rules for pods and nodes, as a drain gets them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from moorage.drain import ClusterState, OnNode, Stance
from moorage.evictor.candidates import Policy
from moorage.evictor.drain_policy import DrainPolicy
from moorage.evictor.inventory import Inventory
from moorage.objects import Node, Pod
from tests.unit.evictor.build import NOW, Json, budget, controller, merged, node, owner, pod, policy
from tests.unit.evictor.test_evaluation import inventory

RS = owner("ReplicaSet", "web-1")
THREE = controller("ReplicaSet", "web-1", spec={"replicas": 3})
ONE = controller("ReplicaSet", "web-1", spec={"replicas": 1})
DISPOSABLE: Json = {"metadata": {"annotations": {"autoscaling.cast.ai/disposable": "true"}}}


class Asked:
    """Somebody who drains ``n1``."""

    def __init__(self, *manifests: Json, settings: Policy | None = None) -> None:
        self.there = inventory(*manifests)
        self.policy = settings or Policy()
        self.times = 0
        nodes = self.there.of("Node", Node) or {"n1": msgspec.convert(node(), Node)}
        self.cluster = ClusterState(NOW, nodes, list(self.there.of("Pod", Pod).values()))
        self.drain_policy = DrainPolicy(self._inventory, lambda: self.policy)

    def _inventory(self, now: datetime) -> Inventory:
        assert now == NOW
        self.times += 1
        return self.there

    def pods(self) -> list[OnNode]:
        return list(self.drain_policy.classify(self.cluster.nodes["n1"], self.cluster.on("n1"), self.cluster))

    def claimed(self) -> str:
        return self.drain_policy.claimed(self.cluster.nodes["n1"], self.cluster)


@pytest.mark.parametrize(
    ("manifests", "aggressive", "stance", "exempt"),
    [
        ([pod(of=RS), THREE], False, Stance.MOVES, False),
        ([pod(of=RS), ONE], False, Stance.HOLDS, False),
        ([pod(of=RS), ONE], True, Stance.MOVES, True),
        ([pod(of=RS), THREE], True, Stance.MOVES, False),
        ([pod(of=RS, **DISPOSABLE), ONE], False, Stance.MOVES, True),
        ([pod(**DISPOSABLE)], False, Stance.MOVES, True),
        ([pod()], False, Stance.HOLDS, False),
        ([pod(of=owner("DaemonSet", "agent"))], False, Stance.STAYS, False),
        ([pod(of=RS), THREE, budget(disruptionsAllowed=0, currentHealthy=2)], False, Stance.MOVES, False),
        ([pod(of=RS), THREE, budget(generation=2)], False, Stance.MOVES, False),
        ([pod(of=RS), THREE, budget(), budget("other")], False, Stance.HOLDS, False),
    ],
)
def test_what_a_pod_means(manifests: list[Json], aggressive: bool, stance: Stance, exempt: bool) -> None:
    (found,) = Asked(*manifests, settings=policy(aggressive=aggressive)).pods()
    assert (found.stance, found.exempt) == (stance, exempt)
    assert bool(found.why) == (stance is Stance.HOLDS)


def marked(phase: str, **change: Any) -> Json:
    said = {"by": "us", "cycle": "c", "phase": phase, "since": "2026-01-01T11:59:00Z", "set": ["cordon"]}
    annotated = node(metadata={"annotations": {"moorage.dev/drain": json.dumps(said)}}, spec={"unschedulable": True})
    return merged(annotated, change)


CANDIDATE: Json = {"spec": {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}]}}
DELETED: Json = {"spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}}


def draining_nodes() -> Json:
    """A pod that was evicted, and has not ended yet."""
    return pod(of=RS, metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})


DISRUPTED: Json = {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}}


@pytest.mark.parametrize(
    ("manifests", "says"),
    [
        ([node()], ""),
        ([marked("draining")], ""),
        ([node(spec={"unschedulable": True})], ""),
        ([node(**DISRUPTED), pod(of=RS), THREE], "taint karpenter.sh/disrupted"),
        ([marked("draining", **DISRUPTED), pod(of=RS), THREE], "taint karpenter.sh/disrupted"),
        ([marked("draining", **DISRUPTED), pod(of=owner("DaemonSet", "agent"))], ""),
        ([node(**CANDIDATE), pod(of=RS), THREE], "taint DeletionCandidateOfClusterAutoscaler"),
        ([marked("chosen", **CANDIDATE), pod(of=RS), THREE], "taint DeletionCandidateOfClusterAutoscaler"),
        ([marked("draining", **CANDIDATE), pod(of=RS), THREE], ""),
        ([marked("draining", **DELETED), pod(of=RS), THREE], "taint ToBeDeletedByClusterAutoscaler"),
        ([marked("draining", **DISRUPTED), draining_nodes(), THREE], ""),
        ([node(**DISRUPTED), draining_nodes(), THREE], "taint karpenter.sh/disrupted"),
        ([marked("draining", metadata={"annotations": {"karpenter.sh/do-not-disrupt": "true"}})], "for another"),
        ([marked("draining", metadata={"labels": {"karpenter.sh/nodepool": "x"}})], "NodePool x does not exist"),
    ],
)
def test_what_forbids_to_empty_a_node(manifests: list[Json], says: str) -> None:
    claimed = Asked(*manifests).claimed()
    assert says in claimed
    assert bool(claimed) == bool(says)


def test_all_is_looked_at_once_for_each_look_and_by_the_rules_of_now() -> None:
    asked = Asked(node(), pod(of=RS), ONE)
    asked.pods()
    asked.claimed()
    assert asked.times == 1
    asked.policy = policy(aggressive=True)
    asked.cluster = ClusterState(NOW, asked.cluster.nodes, asked.cluster.pods)
    assert asked.pods()[0].stance is Stance.MOVES
    assert asked.times == 2


def test_an_eviction_counts_for_whom_choosing_counts_it() -> None:
    maker = merged(THREE, {"metadata": {"ownerReferences": [owner("Deployment", "web")]}})
    asked = Asked(node(), pod(of=RS), maker, controller("Deployment", "web"))
    asked.pods()
    assert asked.drain_policy.owner(asked.cluster.on("n1")[0]) == "uid-web"
