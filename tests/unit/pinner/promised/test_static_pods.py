"""Room for static pods is kept until their mirror pods are there; then those count, and never both."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Pod, PodStatus
from moorage.pinner.node.room import NodeRoom
from moorage.reservations import rules
from tests.unit.pinner.webhook.scene import PROMISE, Json, Scene, pod, slot
from tests.unit.pinner.webhook.test_mutate import node_of

STATIC = msgspec.structs.replace(PROMISE, static_pods={"cpu": "1500m", "memory": "1Gi", "pods": "2"})
"""Of four cores and ten pods."""


def mirror(cpu: str, **spec: Any) -> Json:
    made = pod(cpu=cpu, **spec)
    made["metadata"] = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    return made


def room(scene: Scene, cpu: str) -> bool:
    """Whether a pod of so much CPU has room on node n1."""
    wanted = scene.store(pod(cpu=cpu), "wanted")
    return NodeRoom(scene.cluster, "n1").admit((wanted,))["u-wanted"] is None


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.node("n1", promise=STATIC)
    return made


def test_room_is_kept_until_the_mirror_pods_are_there_and_not_twice(scene: Scene) -> None:
    assert (room(scene, "2500m"), room(scene, "2501m")) == (True, False)
    scene.store(mirror("100m", nodeName="n1"), "proxy")
    assert (room(scene, "2500m"), room(scene, "2501m")) == (True, False), "one is still to come, of 1400m"
    scene.store(mirror("200m", nodeName="n1"), "agent")
    assert (room(scene, "3700m"), room(scene, "3701m")) == (True, False), "what they really use counts"
    scene.pods.drop("ns/agent", scene.next())
    assert (room(scene, "2500m"), room(scene, "2501m")) == (True, False)


def test_static_pods_that_use_more_than_the_plan_said_count_as_they_are(scene: Scene) -> None:
    scene.store(mirror("2", nodeName="n1"), "proxy")
    assert (room(scene, "2"), room(scene, "2001m")) == (True, False)


def test_other_pods_and_mirror_pods_of_other_nodes_take_nothing_of_it(scene: Scene) -> None:
    scene.store(mirror("1", nodeName="n2"), "elsewhere")
    scene.store(pod(cpu="1", nodeName="n1"), "plain")
    assert (room(scene, "1500m"), room(scene, "1501m")) == (True, False)


def test_their_number_is_kept_too_and_expected_pods_get_the_rest() -> None:
    scene = Scene()
    promise = msgspec.structs.replace(STATIC, static_pods={"pods": "8"})
    scene.node("n1", slot(2, cpu="1m"), promise=promise)
    assert [node_of(scene.create(pod(cpu="1m"))) for _ in range(2)] == ["n1", "n1"]
    assert not room(scene, "1m")


def test_what_the_kubelet_offers_counts_less_what_is_still_to_come(scene: Scene) -> None:
    old = scene.cluster.nodes.get("n1")
    assert old is not None
    status = {"allocatable": {"cpu": "3", "memory": "8Gi", "pods": "10"}, "nodeInfo": {"kubeletVersion": "v1"}}
    scene.nodes.put(msgspec.structs.replace(old, status=msgspec.convert(status, type(old.status))), scene.next())
    assert (room(scene, "1500m"), room(scene, "1501m")) == (True, False)
    for name in ("proxy", "agent"):
        scene.store(mirror("100m", nodeName="n1"), name)
    assert (room(scene, "2800m"), room(scene, "2801m")) == (True, False)


def test_a_machine_with_fewer_static_pods_than_the_plan_said_is_what_it_is_once_it_is_open(scene: Scene) -> None:
    old = scene.cluster.nodes.get("n1")
    assert old is not None
    status = msgspec.convert(
        {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}, "nodeInfo": {"kubeletVersion": "v1"}},
        type(old.status),
    )
    scene.store(mirror("1", nodeName="n1"), "only")
    scene.nodes.put(msgspec.structs.replace(old, status=status), scene.next())
    assert (room(scene, "2500m"), room(scene, "2501m")) == (True, False)
    open_ = msgspec.structs.replace(old.spec, taints=())
    scene.nodes.put(msgspec.structs.replace(old, status=status, spec=open_), scene.next())
    assert (room(scene, "3"), room(scene, "3001m")) == (True, False)


MIRRORS = st.lists(st.tuples(st.integers(0, 2000), st.booleans(), st.booleans()), max_size=6)


@given(MIRRORS, st.integers(0, 4000), st.integers(0, 4))
def test_never_more_is_kept_than_was_said_and_nothing_once_all_are_there(
    pods: list[tuple[int, bool, bool]], cpu: int, count: int
) -> None:
    promise = msgspec.structs.replace(PROMISE, static_pods={"cpu": f"{cpu}m", "pods": str(count)})
    there = [_made(number, *each) for number, each in enumerate(pods)]
    left = rules.static_pods_to_come(promise, there)
    used = [amount for amount, is_mirror, ended in pods if is_mirror and not ended]
    assert all(0 < amount <= {"cpu": cpu, "pods": count}[name] for name, amount in left.items())
    if used and len(used) >= count:
        assert left == {}
    else:
        assert left.get("cpu", 0) == max(0, cpu - sum(used))
        assert left.get("pods", 0) == count - len(used)
    held = rules.room_left(promise, there)["cpu"] + sum(amount for amount, _, ended in pods if not ended)
    assert held + left.get("cpu", 0) == 4000


def _made(number: int, cpu: int, is_mirror: bool, ended: bool) -> Pod:
    made = mirror(f"{cpu}m") if is_mirror else pod(cpu=f"{cpu}m")
    made["metadata"] = {**made["metadata"], "name": f"p{number}", "namespace": "ns", "uid": f"u{number}"}
    found = msgspec.convert(made, Pod)
    return msgspec.structs.replace(found, status=PodStatus(phase="Failed")) if ended else found
