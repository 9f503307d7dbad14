"""New pods that are expected on a running node: put there if possible, otherwise left to the scheduler."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.cluster.daemons import DaemonSet
from moorage.objects import ObjectMeta, Pod
from moorage.pinner.decisions.decide import decide
from moorage.pinner.decisions.steps import DeletePod
from moorage.pinner.names import NOT_PINNED_ANNOTATION, PIN_ANNOTATION, STEERED_BY
from moorage.pinner.node.room import NodeRoom
from moorage.reservations import Owner, SlotReservation
from tests.unit.pinner.webhook.scene import NOW, PROMISE, WEB, Json, Scene, patched, pod, review, slot
from tests.unit.pinner.webhook.test_mutate import node_of, preferred, reason

OTHER = Owner(kind="ReplicaSet", name="db", namespace="ns")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_replacements_fill_their_slots_and_say_by_what(scene: Scene) -> None:
    scene.running("a", slot(2))
    created = [scene.create(pod()) for _ in range(3)]
    assert [node_of(each) for each in created] == ["a", "a", ""]
    assert created[0]["metadata"]["annotations"][PIN_ANNOTATION] == STEERED_BY + "ns/evictor"
    assert created[2] == pod()


def test_softly_the_scheduler_keeps_the_last_word(scene: Scene) -> None:
    scene.running("a", slot(1))
    scene.mutator = scene.softly
    created = scene.create(pod())
    assert (node_of(created), preferred(created)) == ("", [["a"]])
    assert PIN_ANNOTATION not in created["metadata"]["annotations"]
    assert scene.ask(pod()) == [], "its slot is taken"


def test_pods_that_were_there_before_fill_no_slot_and_those_that_came_since_do(scene: Scene) -> None:
    scene.running("a", slot(2))
    for name, created in (("old", "2026-01-31T11:58:59Z"), ("new", "2026-01-31T11:59:00Z")):
        there = pod(nodeName="a")
        there["metadata"]["creationTimestamp"] = created
        scene.store(there, name)
    assert [node_of(scene.create(pod())) for _ in range(2)] == ["a", ""]
    assert scene.cluster.expected.any is False


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"spec": {"unschedulable": True}}, "cordoned"),
        ({"spec": {"taints": [{"key": "evictor.cast.ai/evicted", "effect": "PreferNoSchedule"}]}}, "to be emptied"),
        (
            {"spec": {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}]}},
            "to be removed",
        ),
        ({"status": {"allocatable": {"cpu": "4"}, "nodeInfo": {"kubeletVersion": "v1"}}}, "not Ready"),
        ({"metadata": {"name": "a", "uid": "n-a", "labels": {"autoscaling.cast.ai/draining": "x"}}}, "to be removed"),
        ({"metadata": {"name": "a", "uid": "n-a", "deletionTimestamp": "2026-01-31T12:00:00Z"}}, "being deleted"),
        ({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}, "taint"),
    ],
)
def test_a_node_that_is_not_well_gets_nobody(scene: Scene, node: Json, why: str) -> None:
    scene.running("a", slot(1), **node)
    created = scene.create(pod(tolerations=[]))
    assert node_of(created) == ""
    assert why in reason(created)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cpu": "5"}, "cpu"),
        ({"nodeSelector": {"kubernetes.io/hostname": "b"}}, "node a"),
        ({"schedulerName": "other"}, "scheduler other"),
    ],
)
def test_a_pod_that_does_not_fit_is_left_with_the_reason(scene: Scene, more: Json, why: str) -> None:
    scene.running("a", slot(1))
    created = scene.create(pod(**more))
    assert node_of(created) == ""
    assert why in reason(created)
    assert node_of(scene.create(pod())) == "a", "its slot is free for another"


def test_a_pod_that_wants_devices_is_only_steered(scene: Scene) -> None:
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10", "example.com/gpu": "1"}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"allocatable": allocatable, "conditions": ready, "nodeInfo": {"kubeletVersion": "v1"}}
    scene.running("a", slot(1), status=status)
    obj = pod()
    obj["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = "1"
    created = scene.create(obj)
    assert (node_of(created), preferred(created)) == ("", [["a"]])


def test_slots_hold_their_room_against_others(scene: Scene) -> None:
    scene.running("a", slot(1), slot(2, owner=OTHER))
    assert node_of(scene.create(pod(cpu="3"))) == "", "4 cores, of which 2 are held for others"
    assert node_of(scene.create(pod(cpu="2"))) == "a"


def test_room_is_left_for_pods_of_daemon_sets_that_are_to_come(scene: Scene) -> None:
    scene.running("a", slot(1))
    container = {"name": "main", "resources": {"requests": {"cpu": "3"}}}
    meta = {"name": "agent", "namespace": "ns", "uid": "ds"}
    daemons = {"metadata": meta, "spec": {"template": {"spec": {"containers": [container]}}}}
    scene.daemon_sets.put(msgspec.convert(daemons, DaemonSet), scene.next())
    assert "cpu" in reason(scene.create(pod(cpu="2")))
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "ds", "controller": True}
    scene.store({"metadata": {"ownerReferences": [owner]}, "spec": {"nodeName": "a", "containers": [container]}}, "it")
    assert node_of(scene.create(pod(cpu="1"))) == "a", "its pod has come, and is not counted twice"


def test_what_comes_later_and_is_bound_there_takes_its_room(scene: Scene) -> None:
    scene.running("a", slot(1))
    stranger = {"metadata": {}, "spec": {"nodeName": "a", "containers": pod(cpu="3500m")["spec"]["containers"]}}
    scene.store(stranger, "stranger")
    assert "cpu" in reason(scene.create(pod()))


# --- what counts ---


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"nodeUID": "another"}, "n-a"),
        ({"until": "2026-01-31T11:59:59Z"}, "it is over"),
        ({"since": "2026-01-31T12:01:00Z"}, "it has not begun"),
        ({"until": "2026-01-31T13:00:00Z"}, "cannot be read"),
        ({"slots": [{"owner": msgspec.to_builtins(WEB), "count": -1}]}, "negative"),
        ({"slots": [{"owner": msgspec.to_builtins(WEB), "count": 5000}]}, "5000 pods"),
        ({"slots": "many"}, "not a list"),
        ({"until": None}, "spec.until"),
    ],
)
def test_what_does_not_count_holds_nothing_and_says_why(scene: Scene, spec: Json, message: str) -> None:
    scene.running("a", slot(1), says=spec)
    assert message in scene.standing["a"].message
    assert scene.cluster.expected.any is False
    assert scene.ask(pod()) == []


def test_a_reservation_of_no_node_counts_once_the_node_is_there(scene: Scene) -> None:
    scene.expect("a", slot(1))
    assert "no such node" in scene.standing["a"].message
    scene.running("a", slot(1))
    assert node_of(scene.create(pod())) == "a"


def test_another_life_of_the_node_is_not_meant(scene: Scene) -> None:
    scene.running("a", slot(1))
    scene.nodes.drop("a", scene.next())
    assert scene.ask(pod()) == []
    scene.running("a", slot(1), metadata={"name": "a", "uid": "second"})
    assert "second" in scene.standing["a"].message
    assert scene.ask(pod()) == []


def test_it_ends_at_the_second_whoever_looks(scene: Scene) -> None:
    scene.running("a", slot(1))
    scene.now = NOW + timedelta(minutes=10)
    created = scene.create(pod())
    assert (node_of(created), "any more" in reason(created)) == ("", True)
    scene.cluster.expected.pass_time(scene.now)
    assert scene.ask(pod()) == []


def test_a_reservation_that_is_taken_away_is_forgotten(scene: Scene) -> None:
    scene.running("a", slot(1))
    scene.slots.drop("a", scene.next())
    assert scene.ask(pod()) == []
    assert scene.cluster.expected.any is False


def test_a_placeholder_of_ours_is_no_running_node(scene: Scene) -> None:
    scene.node("a", slot(1, owner=OTHER))
    scene.expect("a", slot(1))
    assert "placeholder" in scene.standing["a"].message
    assert scene.ask(pod()) == []


def test_two_plans_for_one_owner_are_both_kept(scene: Scene) -> None:
    scene.node("promised", slot(1))
    scene.running("running", slot(2))
    assert scene.cluster.expected.beside("running") == {"promised"}
    assert sorted(node_of(scene.create(pod())) for _ in range(4)) == ["", "promised", "running", "running"]


def test_a_promise_for_the_same_node_goes_first(scene: Scene) -> None:
    scene.running("a", slot(3))
    scene.node("a", slot(1), promise=PROMISE)
    assert scene.standing["a"].expectation is None
    assert [node_of(scene.create(pod())) for _ in range(2)] == ["a", ""]


# --- what goes wrong afterwards ---


def test_another_webhook_takes_the_pin_back(scene: Scene) -> None:
    scene.running("a", slot(1))
    created = scene.create(pod())
    created["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "b"}
    again = patched(created, scene.ask(created))
    assert (node_of(again), "node a" in again["metadata"]["annotations"][NOT_PINNED_ANNOTATION]) == ("", True)


def swept(scene: Scene, name: str) -> list[str]:
    """The pods that are to be deleted on a node."""
    o = scene.cluster.observe(name, scene.now, confirmed=False, sweeps=scene.sweeps)
    steps = decide(o, NodeRoom(scene.cluster, name)).steps
    assert all(isinstance(step, DeletePod) and step.sweep and step.grace is None for step in steps)
    return [step.pod.metadata.name for step in steps if isinstance(step, DeletePod)]


def stored(scene: Scene, created: Any, name: str, **status: Any) -> Pod:
    return scene.store({**created, "status": status}, name)


def test_what_the_kubelet_refuses_is_swept_also_when_the_reservation_is_gone(scene: Scene) -> None:
    scene.running("a", slot(2))
    created = [scene.create(pod()) for _ in range(2)]
    stored(scene, created[0], "well", phase="Running", startTime="2026-01-31T12:00:00Z")
    assert "a" not in scene.stirred
    stored(scene, created[1], "full", phase="Failed", reason="OutOfcpu")
    assert "a" in scene.stirred
    assert swept(scene, "a") == ["full"]
    scene.slots.drop("a", scene.next())
    assert swept(scene, "a") == ["full"]


def test_what_can_never_start_there_is_swept(scene: Scene) -> None:
    scene.running("a", slot(1))
    created = scene.create(pod())
    created["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "b"}  # by a webhook that was asked last
    stored(scene, created, "changed", phase="Pending")
    assert "a" in scene.stirred
    assert swept(scene, "a") == ["changed"]


def test_pods_of_others_that_failed_there_are_not_touched(scene: Scene) -> None:
    scene.running("a", slot(1))
    theirs = pod(nodeName="a")
    stored(scene, theirs, "theirs", phase="Failed", reason="OutOfcpu")
    bare = pod(nodeName="a")
    bare["metadata"] |= {"annotations": {PIN_ANNOTATION: STEERED_BY + "me"}, "ownerReferences": []}
    stored(scene, bare, "bare", phase="Failed", reason="OutOfcpu")
    assert swept(scene, "a") == []


def test_an_owner_whose_pods_fail_too_often_is_left_to_the_scheduler(scene: Scene) -> None:
    """Once, here. Its replacement is not stored yet as the webhook is asked about it."""
    scene.running("a", slot(2))
    pinned = scene.create(pod())
    assert node_of(pinned) == "a"
    stored(scene, pinned, "web-1")
    assert node_of(scene.create(pod())) == "a"
    stored(scene, pinned, "web-1", phase="Failed", reason="OutOfcpu")
    left = scene.create(pod())
    assert node_of(left) == ""
    assert reason(left) == (
        "pinned pods of ReplicaSet ns/web-5d4f ended 1 times within 10 minutes of their pins (the last one was web-1, "
        "failed with OutOfcpu at 12:00:00Z): its pods are left to the scheduler until 13:00:00Z"
    )


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("seen_late", [False, True])
@pytest.mark.parametrize("how", ["the kubelet", "an eviction", "at once"])
def test_whoever_ends_the_pods_that_the_webhook_pins_it_is_the_third_time_that_is_the_last(
    how: str, seen_late: bool, running: bool
) -> None:
    """The webhook may be asked about the replacement before the watch has shown the end: then it is once more."""
    scene, pinned = Scene(most_ends=3), 0
    if running:
        scene.running("a", slot(2))
    else:
        scene.node("a", slot(2))
    created = scene.create(pod())
    for number in range(10):
        scene.now += timedelta(seconds=2)
        created["metadata"]["creationTimestamp"] = f"{scene.now:%Y-%m-%dT%H:%M:%SZ}"
        stored(scene, created, f"web-{number}")
        if not node_of(created):
            break
        pinned += 1
        scene.now += timedelta(seconds=2)
        again = scene.create(pod()) if seen_late else None
        if how == "the kubelet":
            stored(scene, created, f"web-{number}", phase="Failed", reason="OutOfcpu")
        elif how == "an eviction":
            created["metadata"] |= {
                "deletionTimestamp": f"{scene.now + timedelta(seconds=30):%Y-%m-%dT%H:%M:%SZ}",
                "deletionGracePeriodSeconds": 30,
            }
            stored(scene, created, f"web-{number}")
        scene.pods.drop(f"ns/web-{number}", scene.next())
        created = again or scene.create(pod())
    assert pinned == 3 + seen_late
    assert reason(created).startswith(
        "pinned pods of ReplicaSet ns/web-5d4f ended 3 times within 10 minutes of their pins"
    )


def test_whatever_the_reservation_says_the_answer_admits(scene: Scene) -> None:
    rubbish: list[Any] = [None, [], "x", {"slots": [None]}, {"slots": {}}, {"until": 1e99}]
    for number, spec in enumerate(rubbish):
        name = f"n{number}"
        scene.running(name, slot(1))
        scene.slots.put(SlotReservation(metadata=ObjectMeta(name=name, uid="s"), spec=spec), scene.next())
    answer = msgspec.json.decode(scene.mutator.respond(review(pod())))
    assert answer["response"] == {"uid": "q", "allowed": True}
