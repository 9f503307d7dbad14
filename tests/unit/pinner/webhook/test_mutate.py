"""New pods: pinned where they are expected, or left to the scheduler with the reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moorage.objects import Pod, Taint
from moorage.pinner.names import (
    CLAIM_ANNOTATION,
    NOT_PINNED_ANNOTATION,
    NOT_READY,
    PIN_ANNOTATION,
    PREPARING,
    RESERVATION_ANNOTATION,
    UNREACHABLE,
)
from moorage.pinner.node import slots
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.promised import expected
from moorage.reservations import STARTUP_TAINTS_GONE, Owner, Promise
from moorage.scheduling import Reason
from tests.unit.pinner.webhook.scene import NOW, PROMISE, WEB, Json, Scene, patched, pod, slot


@pytest.fixture
def scene() -> Scene:
    return Scene()


SOFT = {"key": PREPARING, "operator": "Exists", "effect": "PreferNoSchedule"}


def node_of(created: Json) -> str:
    return str(created["spec"].get("nodeName", ""))


def reason(created: Json) -> str:
    return str(created["metadata"].get("annotations", {}).get(NOT_PINNED_ANNOTATION, ""))


def patient(seconds: int | None = 300) -> Json:
    """A pod with what every API server gives one that says nothing (DefaultTolerationSeconds), or with less."""
    made: Json = pod()
    made["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", **({"tolerationSeconds": seconds} if seconds else {})}
        for key in (NOT_READY, UNREACHABLE)
    ]
    return made


def preferred(created: Json) -> list[Any]:
    affinity = created["spec"].get("affinity") or {}
    terms = (affinity.get("nodeAffinity") or {}).get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return [term["preference"]["matchFields"][0]["values"] for term in terms if "matchFields" in term["preference"]]


def test_expected_pods_fill_their_slots_and_the_next_one_is_left_alone(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    created = [scene.create(pod()) for _ in range(3)]
    assert [node_of(each) for each in created] == ["node-1", "node-1", ""]
    marks = [each["metadata"].get("annotations", {}) for each in created]
    assert [each.get(PIN_ANNOTATION) for each in marks] == ["expect-node-1", "expect-node-1", None]
    assert marks[0][CLAIM_ANNOTATION] != marks[1][CLAIM_ANNOTATION]
    assert created[2] == pod()


def test_on_a_late_node_pods_are_pinned_once_its_machine_has_brought_the_node(scene: Scene) -> None:
    scene.late("late-1", slot(2))
    waits = scene.create(patient())
    assert node_of(waits) == ""
    assert "late-1" in reason(waits)
    scene.late("late-1", slot(2), machine="machine")
    created = [scene.create(patient()) for _ in range(3)]
    assert [node_of(each) for each in created] == ["machine", "machine", ""]
    assert created[0]["metadata"]["annotations"][PIN_ANNOTATION] == "expect-late-1"
    assert scene.ask(created[0]) == [], "asked once more"
    created[1]["spec"]["nodeSelector"] = {"spot": "true"}
    assert node_of(patched(created[1], scene.ask(created[1]))) == ""
    assert node_of(scene.create(patient())) == "machine", "its slot is free again"
    scene.store(created[0], "web-1")
    assert scene.settled == ["late-1"]
    assert [each.key for each in scene.cluster.pods_on("late-1")] == ["ns/web-1"]
    assert node_of(scene.create(patient())) == ""


def test_on_a_node_that_is_not_ready_yet_a_pod_that_would_be_removed_at_once_waits(scene: Scene) -> None:
    scene.late("late-1", slot(4), machine="machine")
    hasty = scene.create(patient(5))
    assert node_of(hasty) == ""
    assert reason(hasty) == f"node machine is not Ready yet, and the pod tolerates {NOT_READY} for 5 s only", (
        "the node-lifecycle controller would take it away again"
    )
    assert node_of(scene.create(pod())) == "", "it tolerates nothing"
    assert [node_of(scene.create(patient(seconds))) for seconds in (300, None)] == ["machine", "machine"]


ONCE_STARTED = msgspec.structs.replace(
    PROMISE, startup_taints=(Taint("agent", "", "NoSchedule"),), bind_when=STARTUP_TAINTS_GONE
)
REPORTED = {"allocatable": PROMISE.allocatable, "nodeInfo": {"kubeletVersion": "v1"}}
READY = {**REPORTED, "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("taints", "status", "pinned"),
    [
        (("agent",), {"allocatable": PROMISE.allocatable}, False),
        ((), {"allocatable": PROMISE.allocatable}, False),
        ((), REPORTED, False),
        (("agent",), READY, False),
        (("node.kubernetes.io/not-ready",), READY, False),
        (("another",), READY, True),
        ((), READY, True),
    ],
)
def test_pods_are_pinned_to_a_machine_only_once_it_has_started_where_the_promise_says_so(
    scene: Scene, taints: tuple[str, ...], status: Json, pinned: bool
) -> None:
    kept = [{"key": key, "effect": "NoSchedule"} for key in (PREPARING, *taints)]
    wants = {**pod(), "spec": {**pod()["spec"], "tolerations": [{"key": "another", "operator": "Exists"}]}}
    scene.node("node-1", slot(2), promise=ONCE_STARTED, spec={"taints": kept}, status=status)
    created = scene.create(wants)
    assert node_of(created) == ("node-1" if pinned else "")
    if not pinned:
        assert created == wants, "it waits as it is, and is bound to its slot later"
        slots.take_on_waiting(scene.cluster, "node-1", NOW)
        assert scene.cluster.intents.of("node-1").pins == ()
        scene.node("node-2", slot(1))
        assert node_of(scene.create(wants)) == "node-2", "another node is ready for it"


def test_slots_of_a_late_node_hold_room_on_the_node_that_came(scene: Scene) -> None:
    scene.late("late-1", slot(3), machine="machine")
    other = scene.store({"metadata": {}, "spec": {"containers": [{"resources": {"requests": {"cpu": "2"}}}]}}, "other")
    assert [each.reason for each in scene.cluster.snapshot.verdict(other, "machine").findings] == [Reason.RESOURCE]
    scene.reservations.drop("late-1", scene.next())
    assert [each.reason for each in scene.cluster.snapshot.verdict(other, "machine").findings] == [Reason.TAINT]
    assert scene.cluster.reserved_as("machine") == ""
    assert scene.stirred[-2:] == ["machine", "late-1"], "nobody has it any more"


def test_nodes_are_finished_one_after_the_other(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    scene.node("node-2", slot(1))
    assert [node_of(scene.create(pod())) for _ in range(4)] == ["node-2", "node-1", "node-1", ""]


@pytest.mark.parametrize("machine", [False, True])
def test_on_a_node_that_is_being_deleted_nobody_is_pinned_and_the_pod_says_so(scene: Scene, machine: bool) -> None:
    leaving = {"name": "node-1", "uid": "n-node-1", "deletionTimestamp": "2026-01-31T12:00:00Z", "finalizers": ["x/y"]}
    marks = {"annotations": {RESERVATION_ANNOTATION: "r-node-1"}}
    joined: Json = (
        {"status": {"allocatable": PROMISE.allocatable, "nodeInfo": {"kubeletVersion": "v1"}}} if machine else {}
    )
    scene.node("node-1", slot(2), metadata={**leaving, **marks}, **joined)
    created = scene.create(pod())
    assert node_of(created) == ""
    assert reason(created) == "node node-1 is being deleted, and finalizers hold it: x/y"


def test_pods_of_nobody_who_is_expected_are_unchanged(scene: Scene) -> None:
    scene.node("node-1", slot(2, owner=Owner(kind="Deployment", name="other", namespace="ns")))
    assert scene.ask(pod()) == []
    bare = pod()
    del bare["metadata"]["ownerReferences"]
    assert scene.ask(bare) == []


def test_a_replica_that_does_not_lead_changes_nothing(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    scene.leads = False
    assert scene.ask(pod()) == []
    scene.leads = True
    assert node_of(scene.create(pod())) == "node-1"


def test_a_dry_run_is_answered_alike_and_takes_no_slot(scene: Scene) -> None:
    scene.node("node-1", slot(1))
    for _ in range(3):
        assert node_of(patched(pod(), scene.ask(pod(), dryRun=True))) == "node-1"
    assert node_of(scene.create(pod())) == "node-1"


def test_a_pod_that_has_a_node_keeps_it(scene: Scene) -> None:
    scene.node("node-1", slot(1))
    assert scene.ask(pod(nodeName="elsewhere")) == []
    assert scene.ask(pod(nodeName="node-1")) == []


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cpu": "5"}, "cpu"),
        ({"nodeSelector": {"pool": "b"}}, "node-1"),
        ({"schedulingGates": [{"name": "example.com/wait"}]}, "gates"),
        ({"schedulerName": "other"}, "scheduler other"),
    ],
)
def test_an_expected_pod_that_must_not_be_pinned_says_why(scene: Scene, more: dict[str, Any], why: str) -> None:
    scene.node("node-1", slot(1))
    created = scene.create(pod(**more))
    assert node_of(created) == ""
    assert why in reason(created)
    assert node_of(scene.create(pod())) == "node-1", "its slot is free for another"


def test_the_first_node_that_a_pod_fits_is_taken(scene: Scene) -> None:
    scene.node("node-1", slot(1), promise=Promise(allocatable={"cpu": "1", "memory": "1Gi", "pods": "10"}))
    scene.node("node-2", slot(1))
    assert node_of(scene.create(pod(cpu="2"))) == "node-2"


def test_slots_hold_their_room_against_other_pins(scene: Scene) -> None:
    other = Owner(kind="ReplicaSet", name="db", namespace="ns")
    scene.node("node-1", slot(3), slot(1, cpu="500m", owner=other))
    stranger = scene.store(
        {
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "job", "uid": "x", "controller": True}
                ]
            },
            "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "750m"}}}]},
        },
        "stranger",
    )
    assert not scene.fits(stranger)  # 4 cores, of which 3.5 are held
    small = scene.store(pod(cpu="250m"), "small")
    small = msgspec.structs.replace(small, metadata=msgspec.structs.replace(small.metadata, owner_references=()))
    assert scene.fits(small)


OTHER = Owner(kind="Deployment", name="other", namespace="ns")


def room_for(scene: Scene, cpu: str) -> bool:
    """Whether an unexpected pod has room on the node."""
    metadata = {"name": f"p-{cpu}", "namespace": "ns", "uid": f"u-{cpu}"}
    asked = msgspec.convert({"metadata": metadata, "spec": pod(cpu=cpu)["spec"]}, Pod)
    return scene.fits(asked)


def test_a_slot_that_changes_holds_what_it_says_now(scene: Scene) -> None:
    scene.node("node-1", slot(1, cpu="1", owner=OTHER))
    assert room_for(scene, "3")
    scene.node("node-1", slot(1, cpu="3", owner=OTHER))
    assert not room_for(scene, "2")
    scene.node("node-1", slot(1, cpu="2", owner=OTHER))
    assert room_for(scene, "2")


def test_what_was_held_on_a_node_that_went_is_not_held_on_its_successor(scene: Scene) -> None:
    scene.node("node-1", slot(1, cpu="3", owner=OTHER))
    scene.nodes.drop("node-1", scene.next())
    scene.reservations.drop("node-1", scene.next())
    scene.node("node-1")
    assert room_for(scene, "4")


def test_a_node_that_comes_back_holds_again_what_is_expected(scene: Scene) -> None:
    scene.node("node-1", slot(1, cpu="3", owner=OTHER))
    node = scene.cluster.nodes.get("node-1")
    scene.nodes.drop("node-1", scene.next())
    assert node is not None
    scene.nodes.put(node, scene.next())
    assert not room_for(scene, "2")
    assert room_for(scene, "1")


def test_a_pod_of_the_owner_that_is_pinned_by_name_fills_a_slot(scene: Scene) -> None:
    scene.node("node-1", slot(1, cpu="4"))
    named = scene.store(pod(cpu="4"), "named")
    assert scene.fits(named)
    scene.cluster.admit(named, "node-1")
    assert scene.ask(pod()) == []


def test_a_claim_ends_when_the_watch_shows_its_pod(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    created = scene.create(pod(cpu="2"))
    claim = created["metadata"]["annotations"][CLAIM_ANNOTATION]
    scene.store(created, "web-1")
    assert scene.cluster.expected.claim(claim) is None
    assert [each.metadata.name for each in scene.cluster.pods_on("node-1")] == ["web-1"]
    scene.store(created, "web-1")  # shown again
    assert node_of(scene.create(pod(cpu="2"))) == "node-1"
    assert scene.ask(pod()) == []


def test_a_node_need_not_be_looked_at_for_each_pod_that_we_have_admitted(scene: Scene) -> None:
    scene.node("node-1", slot(3))
    created = scene.create(pod())
    scene.stirred.clear()
    scene.store(created, "web-1")
    assert (scene.stirred, scene.settled) == ([], ["node-1"])
    scene.store({**created, "status": {"phase": "Failed"}}, "web-1")
    assert (scene.stirred, scene.settled) == (["node-1"], ["node-1"])
    scene.store(pod(nodeName="node-1"), "web-2")
    assert (scene.stirred, scene.settled) == (["node-1"] * 2, ["node-1"])


def test_a_slot_is_free_again_when_the_pod_never_appears(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "CLAIM_LASTS", 0.0)
    scene.node("node-1", slot(1))
    assert node_of(scene.create(pod())) == "node-1"
    assert scene.ask(pod()) == []
    scene.cluster.expected.pass_time(NOW)
    assert node_of(scene.create(pod())) == "node-1"


def test_nothing_is_expected_any_more_after_its_time(scene: Scene) -> None:
    scene.node("node-1", slot(4), until="2026-01-31T11:59:00Z")
    scene.cluster.expected.pass_time(NOW)
    assert scene.ask(pod()) == []
    assert not scene.cluster.expected.any
    whole = msgspec.convert({"metadata": {"name": "x", "namespace": "ns"}, "spec": pod(cpu="4")["spec"]}, Pod)
    assert scene.fits(whole), "no room is held any more"


# --- another webhook changes the pod after us ---


def test_a_pin_stays_when_the_changed_pod_still_fits(scene: Scene) -> None:
    scene.node("node-1", slot(1))
    created = scene.create(pod())
    created["spec"]["containers"].append({"name": "sidecar", "resources": {"requests": {"cpu": "3"}}})
    assert scene.ask(created) == []
    scene.store(created, "web-1")
    assert scene.cluster.expected.any is False


def test_a_pod_that_only_got_the_labels_of_its_node_is_not_judged_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.node("node-1", slot(1))
    created = scene.create(pod())
    created["metadata"]["labels"]["topology.kubernetes.io/zone"] = "a"
    created["metadata"]["annotations"]["other"] = "new"
    with monkeypatch.context() as patch:
        patch.setattr(scene.cluster.expected, "release", lambda _claim: pytest.fail("judged again"))
        assert scene.ask(created) == []
    created["metadata"]["labels"]["app"] = "other"
    judged: list[Any] = []
    monkeypatch.setattr(scene.cluster.expected, "release", judged.append)
    scene.ask(created)
    assert judged


ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def of_the_node(created: Json) -> Json:
    return {key: value for key, value in created["metadata"].get("labels", {}).items() if key in (ZONE, REGION)}


@pytest.mark.parametrize("bare", [False, True])
def test_an_api_server_that_gives_pods_the_labels_of_their_node_need_not_ask_twice(scene: Scene, bare: bool) -> None:
    """It asks once more because of these labels: from the second pod on they are in our answer."""
    owner = Owner("ReplicaSet", "web-5d4f", "ns")
    labels = {"pool": "a", ZONE: "z", REGION: "r"}
    annotations = {RESERVATION_ANNOTATION: "r-node-1"}
    scene.node(
        "node-1",
        slot(4, owner=owner),
        metadata={"name": "node-1", "uid": "n", "labels": labels, "annotations": annotations},
    )
    wanted = pod()
    if bare:
        del wanted["metadata"]["labels"]
    first = scene.create(wanted)
    assert (node_of(first), of_the_node(first)) == ("node-1", {}), "not every API server does so"
    first["metadata"].setdefault("labels", {}).update({ZONE: "z", REGION: "r"})
    assert scene.ask(first) == []
    second = scene.create(wanted)
    assert (node_of(second), of_the_node(second)) == ("node-1", {ZONE: "z", REGION: "r"})
    own = pod()
    own["metadata"]["labels"][ZONE] = "own"
    assert of_the_node(scene.create(own)) == {ZONE: "own", REGION: "r"}, (
        "what the pod has itself is the API server's to judge"
    )
    second["spec"]["nodeSelector"] = {"spot": "true"}
    back = patched(second, scene.ask(second))
    assert (node_of(back), of_the_node(back)) == ("", {}), "of a pin that is taken back nothing stays"


def test_a_pin_is_taken_back_when_the_changed_pod_does_not_fit(scene: Scene) -> None:
    scene.node("node-1", slot(1))
    created = scene.create(pod())
    created["spec"]["nodeSelector"] = {"spot": "true"}
    created["metadata"]["annotations"]["other"] = "kept"
    after = patched(created, scene.ask(created))
    assert node_of(after) == ""
    assert set(after["metadata"]["annotations"]) == {"other", NOT_PINNED_ANNOTATION}
    assert "node-1" in reason(after)
    assert node_of(scene.create(pod())) == "node-1", "its slot is free again"


def test_a_pod_that_grew_too_big_after_our_last_look_is_misplaced_until_a_kubelet_says_so_itself(scene: Scene) -> None:
    scene.node("node-1", slot(2))
    plain, made = scene.store(scene.create(pod()), "web-1"), scene.create(pod())
    made["spec"]["containers"].append({"name": "sidecar", "resources": {"requests": {"cpu": "64"}}})
    grown = scene.store(made, "web-2")
    room = NodeRoom(scene.cluster, "node-1")
    refusal = room.misplaced(grown)
    assert refusal is not None
    assert refusal.text == "node node-1: the pod wants more cpu than is promised"
    assert room.misplaced(plain) is None
    scene.node("node-1", slot(2), status={"nodeInfo": {"kubeletVersion": "v1.36.0"}, "allocatable": {"cpu": "64"}})
    assert room.misplaced(grown) is None


def test_a_copied_claim_is_none(scene: Scene) -> None:
    scene.node("node-1", slot(1))
    copied = scene.create(pod())
    copied["metadata"]["generateName"] = "copy-"
    copied["metadata"]["ownerReferences"][0]["name"] = "copy-5d4f"
    copied["spec"]["nodeSelector"] = {"spot": "true"}
    assert scene.ask(copied) == [], "whoever copied it has chosen its node"


# --- steering: the scheduler decides, and prefers ---


@pytest.mark.parametrize(
    "affinity",
    [None, {}, {"nodeAffinity": {}}, {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}],
)
def test_a_pod_that_wants_a_device_is_steered(scene: Scene, affinity: Any) -> None:
    promise = Promise(allocatable={"cpu": "4", "memory": "8Gi", "pods": "10", "nvidia.com/gpu": "1"})
    scene.node("node-1", slot(1), promise=promise)
    wanted = pod(**({} if affinity is None else {"affinity": affinity}))
    wanted["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    wanted["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    created = scene.create(wanted)
    assert (node_of(created), preferred(created)) == ("", [["node-1"]])
    assert PIN_ANNOTATION not in created["metadata"]["annotations"]


def test_a_preference_comes_beside_those_that_are_there(scene: Scene) -> None:
    own = {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
    scene.node("node-1", slot(1), spec={"taints": []})
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [own]}}
    created = scene.create(pod(affinity=affinity))
    terms = created["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert terms[0] == own
    assert preferred(created) == [["node-1"]]


@pytest.mark.parametrize("own", [None, [], [{"key": "gpu", "operator": "Exists"}], [SOFT]])
def test_a_steered_pod_tolerates_the_taint_that_keeps_others_from_the_node(scene: Scene, own: Any) -> None:
    scene.node("node-1", slot(1), spec={"taints": []})
    created = scene.create(pod(**({} if own is None else {"tolerations": own})))
    assert preferred(created) == [["node-1"]]
    kept = [each for each in own or [] if each != SOFT]
    assert created["spec"]["tolerations"] == [*kept, SOFT], "once, and beside those that are there"


def test_a_node_that_is_open_to_the_scheduler_is_preferred_and_not_named(scene: Scene) -> None:
    scene.node("node-1", slot(1), spec={"taints": []})
    created = scene.create(pod())
    assert (node_of(created), preferred(created)) == ("", [["node-1"]])
    assert scene.ask(pod()) == [], "its slot is taken until it is seen"
    scene.store(created, "web-1")
    assert scene.ask(pod()) == [], "and until it has a node"
    created["spec"]["nodeName"] = "elsewhere"
    scene.store(created, "web-1")
    assert preferred(scene.create(pod())) == [["node-1"]]


def test_a_node_that_is_not_ours_is_not_named(scene: Scene) -> None:
    scene.node("node-1", slot(1), metadata={"name": "node-1", "uid": "other"})
    created = scene.create(pod())
    assert (node_of(created), preferred(created)) == ("", [])
    assert "placeholder not found" in reason(created)


def test_owners_are_told_apart_by_kind_namespace_and_name(scene: Scene) -> None:
    scene.node("node-1", slot(1, owner=msgspec.structs.replace(WEB, namespace="other")))
    assert scene.ask(pod()) == []
    assert node_of(patched(pod(), scene.ask(pod(), namespace="other"))) == "node-1"
