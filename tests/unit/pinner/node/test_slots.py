"""Pods for the slots of nodes: what many that wait, and many nodes, cost; and that none is passed over for that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moorage.objects import Pod
from moorage.pinner.node import slots
from tests.unit.pinner.state.test_costs import instructions
from tests.unit.pinner.webhook.scene import NOW, PROMISE, WEB, Scene, pod, slot

UNFIT: dict[str, dict[str, Any]] = {
    "too large": {"cpu": "9"},
    "selects other nodes": {"nodeSelector": {"pool": "b"}},
    "of another system": {"os": {"name": "windows"}},
    "only for the scheduler": {"resourceClaims": [{"name": "device"}]},
    "wants what the node does not offer": {
        "containers": [{"name": "main", "resources": {"limits": {"example.com/gpu": "1"}}}]
    },
}


def taken(scene: Scene) -> list[str]:
    slots.take_on_waiting(scene.cluster, "node-1", NOW)
    return [pin.name for pin in scene.cluster.intents.of("node-1").pins]


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
def test_equal_pods_that_wait_are_judged_once(unfit: dict[str, Any]) -> None:
    def cost(pods: int) -> int:
        scene = Scene()
        for number in range(pods):
            scene.store(pod(**unfit), f"p{number}")
        scene.node("node-1", slot(2))
        count = instructions(lambda: slots.take_on_waiting(scene.cluster, "node-1", NOW))
        assert not scene.cluster.intents.of("node-1").pins
        return count

    few, more, many = cost(1), cost(11), cost(21)
    further = (many - more) / 10
    assert further < few / 3, f"{few} instructions for one pod, {further} for each further one"


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
def test_pods_that_fit_are_found_behind_those_that_do_not(unfit: dict[str, Any]) -> None:
    scene = Scene()
    for number in range(5):
        scene.store(pod(**unfit), f"a{number}")
        scene.store(pod(), f"b{number}")
    scene.node("node-1", slot(2))
    assert taken(scene) == ["b0", "b1"]


def test_a_slot_that_is_full_takes_no_pod_while_another_is_open() -> None:
    scene = Scene()
    other = msgspec.structs.replace(WEB, name="other")
    scene.node("node-1", slot(1), slot(1, owner=other))
    scene.store(pod(nodeName="node-1"), "p0")
    assert [each.count for each in scene.cluster.expected.free("node-1")] == [0, 1]
    scene.store(pod(), "p1")
    assert taken(scene) == []


def test_what_one_pod_is_refused_for_is_not_said_of_the_next() -> None:
    scene = Scene()
    scene.store(pod(schedulingGates=[{"name": "wait"}]), "a")
    scene.store(pod(), "b")
    scene.node("node-1", slot(1))
    assert taken(scene) == ["b"]


NODES = slots.MOST_TRIED + 50


def test_a_new_pod_is_not_tried_on_nodes_that_cannot_be_its_own_and_finds_the_one_that_is() -> None:
    scene = Scene()
    other = msgspec.structs.replace(PROMISE, labels={"pool": "b"})
    for number in range(NODES):
        scene.node(f"node-{number:04}", slot(1))
    scene.node("node-z", slot(1), promise=other)
    new = msgspec.convert(pod(nodeSelector={"pool": "b"}), Pod)
    new = msgspec.structs.replace(new, metadata=msgspec.structs.replace(new.metadata, namespace="ns"))
    nodes = scene.cluster.expected.nodes(new)
    assert len(nodes) == NODES + 1
    assert nodes[-1] == "node-z"
    found = slots.choose(scene.cluster, new, nodes, NOW)
    assert isinstance(found, slots.Place)
    assert found.name == "node-z"

    def cost(count: int) -> int:
        return instructions(lambda: slots.choose(scene.cluster, new, nodes[:count], NOW))

    few, more = cost(10), cost(110)
    assert (more - few) / 100 < few / 10, "each further node costs little beside one that is tried"


def test_a_new_pod_is_tried_on_so_many_nodes_only() -> None:
    scene = Scene()
    for number in range(NODES):
        scene.node(f"node-{number:04}", slot(1))
    new = msgspec.convert(pod(cpu="9"), Pod)
    new = msgspec.structs.replace(new, metadata=msgspec.structs.replace(new.metadata, namespace="ns"))
    nodes = scene.cluster.expected.nodes(new)

    def cost(count: int) -> int:
        return instructions(lambda: slots.choose(scene.cluster, new, nodes[:count], NOW))

    assert cost(NODES) < cost(slots.MOST_TRIED) * 1.1
