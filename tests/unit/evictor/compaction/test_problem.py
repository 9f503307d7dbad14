"""The choice in numbers: the pods of a group, and the nodes that accept it."""

from __future__ import annotations

from typing import Any

from moorage.evictor.candidates.controllers import Made
from moorage.evictor.compaction.loads import Load, MovingPod
from moorage.evictor.compaction.problem import Problem
from moorage.evictor.compaction.replacements import Replacements
from moorage.evictor.compaction.targets import Targets
from tests.unit.evictor.build import Json, merged

from .build import ALL, cluster, replica, replica_set, room

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
NODES = [room(f"n{number}", metadata={"labels": {ZONE: "ab"[number // 2], HOST: f"n{number}"}}) for number in range(4)]


def problem(*pods: Json) -> Problem:
    """The sum of all pods on n0 and n1."""
    sets = {pod["metadata"]["ownerReferences"][0]["name"] for pod in pods}
    found = cluster(*NODES, *pods, *(replica_set(name, 2) for name in sorted(sets)))
    places = Targets(found.snapshot, found.view.nodes, found.verdicts, ALL)
    replacements = Replacements(found.view.pods, {})
    loads = []
    for name in ("n0", "n1"):
        there = [pod for pod in found.view.pods if pod.spec.node_name == name]
        moving = [MovingPod(pod.key, replacements.of(pod, Made.REPLICATED), "") for pod in there]
        loads.append(Load(name, found.snapshot.nodes.slots[name], 1, 1, moving))
    return Problem(found.snapshot, places, loads)


def where(numbers: Problem, group: int) -> list[int]:
    return [slot for slot in range(4) if numbers.fits[group, slot]]


def test_pods_that_ask_for_the_same_are_one_group() -> None:
    numbers = problem(replica("a", "n0", of="one"), replica("b", "n1", of="two"), replica("c", "n1", "2", of="three"))
    assert numbers.group_of == [[0], [0, 1]]
    assert numbers.requested.tolist() == [[1, 1], [1000, 2000]]
    assert [(groups.tolist(), counts.tolist()) for groups, counts in numbers.of] == [([0], [1]), ([0, 1], [1, 1])]
    assert numbers.demand(1).tolist() == [2, 3000]
    assert numbers.room[:, :4].tolist() == [[9, 8, 10, 10], [3000, 1000, 4000, 4000]]


def wish(name: str, on: str, **spec: Any) -> Json:
    return merged(replica(name, on, of=name), {"metadata": {"labels": {"app": name}}, "spec": spec})


def test_where_and_how_many() -> None:
    selector = {"matchLabels": {"app": "apart"}}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    apart = {"podAntiAffinity": {required: [{"topologyKey": HOST, "labelSelector": selector}]}}
    spread = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    numbers = problem(
        wish("apart", "n0", affinity=apart),
        wish(
            "spread", "n0", topologySpreadConstraints=[spread | {"labelSelector": {"matchLabels": {"app": "spread"}}}]
        ),
        wish("chosen", "n0", nodeSelector={ZONE: "b"}),
        replica("plain", "n1", of="plain"),
    )
    (own, zone, label), (plain,) = numbers.group_of
    assert (where(numbers, own), int(numbers.most[own])) == ([1, 2, 3], 1), "beside none of its kind"
    assert (where(numbers, zone), int(numbers.most[zone])) == ([0, 1], numbers.unbounded), "it stays in its zone"
    assert where(numbers, label) == [2, 3]
    assert where(numbers, plain) == [0, 1, 2, 3]
    assert numbers.hopeless() == set()


def test_what_fits_nowhere_is_hopeless() -> None:
    numbers = problem(replica("a", "n0", "9"), replica("b", "n1", "1", of="two"))
    assert numbers.hopeless() == {numbers.group_of[0][0]}
