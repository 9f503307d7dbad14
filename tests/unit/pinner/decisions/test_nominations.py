"""When a pod is nominated, again, and no longer; and the pod's needs that a node must offer first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.objects import Node, Pod, Taint
from moorage.objects.base import ObjectMeta
from moorage.objects.pod import NamedItem, Volume
from moorage.objects.storage import (
    CsiNode,
    CsiNodeDriver,
    CsiNodeSpec,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    StorageClass,
)
from moorage.pinner.decisions import published
from moorage.pinner.decisions.steps import Bind, ClearNomination, Decision, EditReservation, Nominate, PatchNode
from moorage.pinner.names import PREPARING, UNINITIALIZED
from moorage.protocol import Outcome
from moorage.reservations import Nomination, merging, read
from moorage.scheduling.storage import Storage
from tests.unit.pinner.model import (
    DEADLINE,
    DEVICE,
    NAME,
    NOW,
    PROMISE,
    Corner,
    joined,
    placeholder,
    pod,
    reservation_of,
    spec_of,
    wanting_device,
)

LATER = timedelta(seconds=10)


def corner(*numbers: int, plain: tuple[int, ...] = (), **how: Any) -> Corner:
    """A node that has joined and is Ready, with our taint; pods that want a device are pinned to it, and plain ones."""
    pods = {f"p{n}": wanting_device(pod(n)) for n in numbers} | {f"p{n}": pod(n) for n in plain}
    given = {"reservation": reservation_of(spec_of(*numbers, *plain)), "node": joined(placeholder(), ready=True)}
    return Corner(**{**given, "pods": pods, "devices": 8, **how})


def tried(one: Corner, tries: int) -> Corner:
    """The same, with the first pod nominated so often, last just now."""
    assert one.reservation is not None
    spec = msgspec.structs.replace(read(one.reservation).spec, nominations=(Nomination("u1", tries, NOW.isoformat()),))
    one.reservation = msgspec.structs.replace(reservation_of(spec), metadata=one.reservation.metadata)
    return one


def opened(node: Node) -> Node:
    """The same Node, to which the scheduler has access."""
    return msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, taints=()))


def nominated(one: Pod, node: str = NAME) -> Pod:
    return msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, nominated_node_name=node))


def said(decision: Decision, uid: str = "u1") -> tuple[str, str]:
    state = decision.pins[uid]
    return (state.outcome.name if state.outcome else "", state.refusal.reason.name if state.refusal else "")


def chosen(decision: Decision) -> list[str]:
    """The pods that are nominated now."""
    return [pin.uid for step in decision.steps if isinstance(step, Nominate) for pin, _ in step.pods]


def guarded(one: Corner) -> bool:
    return one.node is not None and any(t.key == PREPARING and t.effect == "NoSchedule" for t in one.node.spec.taints)


def do(one: Corner, decision: Decision) -> None:
    for step in decision.steps:
        one.do(step)


# --- the order ---


def test_plain_pods_are_bound_then_all_others_nominated_seen_and_then_the_taint_goes_in_one_patch() -> None:
    one = corner(1, 2, plain=(3,), unseen=frozenset({"u1"}))
    first = one.decide()
    assert [type(step) for step in first.steps] == [Bind]
    do(one, first)

    second = one.decide()
    assert [type(step) for step in second.steps] == [Nominate]
    assert chosen(second) == ["u1", "u2"]
    do(one, second)
    assert {p.status.nominated_node_name for p in one.pods.values()} == {NAME, ""}
    assert one.reservation is not None
    assert [(n.uid, n.tries) for n in read(one.reservation).spec.nominations] == [("u1", 1), ("u2", 1)]

    assert one.decide().steps == (), "the watch has not shown the first one"
    assert guarded(one)
    one.unseen = frozenset()
    fourth = one.decide()
    assert [type(step) for step in fourth.steps] == [PatchNode]
    do(one, fourth)
    assert not guarded(one)

    waiting = one.decide()
    assert waiting.steps == ()
    assert said(waiting) == ("", "DEADLINE_PASSED")
    assert one.observe().open, "a nomination may have to be taken back"
    for name in ("p1", "p2"):
        spec = msgspec.structs.replace(one.pods[name].spec, node_name=NAME)
        one.pods[name] = msgspec.structs.replace(one.pods[name], spec=spec)
    settled = one.decide()
    assert [(type(step), getattr(step, "close", None)) for step in settled.steps] == [(EditReservation, True)]
    assert said(settled) == ("APPLIED", "POD_NOMINATED")
    assert said(settled, "u3") == ("APPLIED", "")


def test_a_node_that_is_not_ready_gets_no_nominations_and_keeps_its_taint() -> None:
    one = corner(1, node=joined(placeholder(), ready=False))
    assert one.decide().steps == ()
    assert said(one.decide()) == ("", "SOFT_PIN_UNSUPPORTED")
    assert Corner(one.reservation, node=placeholder(), pods=one.pods).decide().steps == ()


@pytest.mark.parametrize(
    "taint",
    [Taint(UNINITIALIZED, "true", "NoSchedule"), Taint("node.cilium.io/agent-not-ready", "", "NoExecute")],
)
def test_nobody_is_nominated_while_foreign_startup_taints_are_there(taint: Taint) -> None:
    promise = msgspec.structs.replace(
        PROMISE, startup_taints=(Taint("node.cilium.io/agent-not-ready", "", "NoExecute"),)
    )
    one = corner(1, reservation=reservation_of(spec_of(1, promise=promise)))
    assert one.node is not None
    ready = one.node
    one.node = msgspec.structs.replace(
        ready, spec=msgspec.structs.replace(ready.spec, taints=(*ready.spec.taints, taint))
    )
    assert one.decide().steps == ()
    assert taint.key in one.decide().message
    one.node = ready
    assert chosen(one.decide()) == ["u1"]


def test_devices_that_are_not_published_are_waited_for_behind_the_taint() -> None:
    one = corner(1, devices=None)
    assert one.decide().steps == ()
    assert one.decide().message == "no device yet"
    assert guarded(one)
    one.devices = 1
    assert chosen(one.decide()) == ["u1"]


def test_one_node_after_the_other_is_opened() -> None:
    one = corner(1, first=False)
    assert one.decide().steps == ()
    assert one.decide().wake == NOW + timedelta(seconds=1)
    one.first = True
    assert chosen(one.decide()) == ["u1"]
    assert one.node is not None
    behind = tried(corner(1, first=False, node=opened(one.node)), 1)
    behind.now += LATER
    assert chosen(behind.decide()) == ["u1"], "an open one waits for nobody"


def test_who_does_not_fit_beside_the_others_is_left_to_the_scheduler_and_the_node_is_opened_for_the_rest() -> None:
    one = corner(1, 2, 3, devices=2)
    decision = one.decide()
    assert chosen(decision) == ["u1", "u2"]
    assert said(decision, "u3") == ("REJECTED", "NODE_FULL")
    one.settle()
    assert not guarded(one)
    assert one.reservation is not None
    assert [pin.uid for pin in read(one.reservation).spec.pins] == ["u1", "u2"]
    assert one.pods["p3"].status.nominated_node_name == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"node_name": "other"}, "POD_BOUND_ELSEWHERE"),
        ({"scheduler_name": "other"}, "POD_OTHER_SCHEDULER"),
        ({"preemption_policy": "Never"}, "SOFT_PIN_UNSUPPORTED"),
        ({"scheduling_gates": (NamedItem("g"),)}, "POD_GATED"),
    ],
)
def test_which_pods_are_never_nominated(change: Any, reason: str) -> None:
    one = corner(1)
    spec = msgspec.structs.replace(one.pods["p1"].spec, **change)
    one.pods["p1"] = msgspec.structs.replace(one.pods["p1"], spec=spec)
    assert said(one.decide()) == ("REJECTED", reason)
    one.settle()
    assert one.pods["p1"].status.nominated_node_name == ""
    assert not guarded(one)


def test_a_pod_that_is_being_deleted_is_not_nominated() -> None:
    one = corner(1)
    meta = msgspec.structs.replace(one.pods["p1"].metadata, deletion_timestamp=NOW.isoformat())
    one.pods["p1"] = msgspec.structs.replace(one.pods["p1"], metadata=meta)
    assert said(one.decide()) == ("REJECTED", "POD_TERMINATING")


def test_once_the_node_is_open_to_the_scheduler_nobody_is_nominated_for_the_first_time() -> None:
    one = corner(1)
    assert one.node is not None
    one.node = opened(one.node)
    assert said(one.decide()) == ("REJECTED", "SOFT_PIN_UNSUPPORTED")


# --- again, and no more ---


@pytest.mark.parametrize("is_guarded", [True, False])
@pytest.mark.parametrize(
    ("tries", "passed", "expected"),
    [
        (1, timedelta(seconds=9), "waits"),
        (1, LATER, "again"),
        (2, LATER, "again"),
        (3, timedelta(), "lost"),
        (3, LATER, "lost"),
    ],
)
def test_a_lost_nomination_is_renewed_after_ten_seconds_and_three_times_at_most(
    tries: int, passed: timedelta, expected: str, is_guarded: bool
) -> None:
    one = tried(corner(1), tries)
    one.now = NOW + passed
    if not is_guarded:
        assert one.node is not None
        one.node = opened(one.node)
    decision = one.decide()
    match expected:
        case "waits":
            assert chosen(decision) == []
            assert decision.wake == NOW + LATER
            assert not is_guarded or decision.steps == ()
        case "again":
            assert chosen(decision) == ["u1"]
            do(one, decision)
            assert one.reservation is not None
            record = merging.nomination_of(read(one.reservation).spec, "u1")
            assert record is not None
            assert (record.tries, record.at[:19]) == (tries + 1, one.now.isoformat()[:19])
        case "lost":
            assert said(decision) == ("REJECTED", "NOMINATION_LOST")
            one.settle()
            assert not guarded(one)
            assert one.reservation is not None
            assert read(one.reservation).spec.nominations == ()


def test_behind_the_taint_all_are_nominated_together_and_in_front_of_it_each_for_itself() -> None:
    one = tried(corner(1, 2), 1)
    assert chosen(one.decide()) == [], "the first one may not be yet"
    one.now += LATER
    assert chosen(one.decide()) == ["u1", "u2"]

    records = (Nomination("u1", 1, (NOW - LATER).isoformat()), Nomination("u2", 1, NOW.isoformat()))
    one = corner(1, 2, reservation=reservation_of(spec_of(1, 2, nominations=records)))
    assert chosen(one.decide()) == []
    assert one.node is not None
    one.node = opened(one.node)
    assert chosen(one.decide()) == ["u1"]


def test_a_nomination_that_does_not_fit_any_more_is_taken_back() -> None:
    one = tried(corner(1), 1)
    one.pods["p1"], one.devices = nominated(one.pods["p1"]), 0
    decision = one.decide()
    assert [type(step) for step in decision.steps] == [ClearNomination]
    assert said(decision) == ("REJECTED", "NODE_FULL")
    one.settle()
    assert one.pods["p1"].status.nominated_node_name == ""
    assert not guarded(one)


# --- the end ---


@pytest.mark.parametrize(
    "how",
    [
        {"now": NOW + timedelta(minutes=11)},
        {"now": NOW + timedelta(minutes=11), "node": joined(placeholder(), ready=False)},
        {"node": None, "made": True},
        {"node": opened(joined(placeholder(ours=False), ready=True)), "made": True},
        {"reservation": reservation_of(spec_of(1, intent="Delete"))},
        {"reservation": reservation_of(spec_of(1), deleted=True)},
    ],
    ids=["the deadline", "never Ready", "the node went", "no mark of ours", "given up", "deleted by hand"],
)
def test_what_comes_to_nothing_is_taken_back_before_it_is_forgotten(how: Any) -> None:
    one = corner(1, **how)
    tried(one, 1)
    one.pods["p1"] = nominated(one.pods["p1"])
    (first,) = one.decide().steps
    assert isinstance(first, ClearNomination)
    assert one.decide().pins["u1"].outcome in (Outcome.FAILED, Outcome.REJECTED)
    one.settle()
    assert one.pods["p1"].status.nominated_node_name == ""
    assert not guarded(one)


@pytest.mark.parametrize("value", ["other", NAME])
@pytest.mark.parametrize("end", [False, True])
def test_a_foreign_nomination_is_never_touched(value: str, end: bool) -> None:
    one = corner(1, reservation=reservation_of(spec_of(1, intent="Delete" if end else "Hold")))
    one.pods["p1"] = nominated(one.pods["p1"], value)
    one.settle()
    assert one.pods["p1"].status.nominated_node_name == value
    assert not guarded(one)


@pytest.mark.parametrize("tries", [1, 3])
def test_a_nomination_of_ours_that_somebody_overwrites_is_left_to_them(tries: int) -> None:
    one = tried(corner(1), tries)
    one.pods["p1"] = nominated(one.pods["p1"], "other")
    assert said(one.decide()) == ("REJECTED", "POD_NOMINATED")
    one.settle()
    assert one.pods["p1"].status.nominated_node_name == "other"
    assert one.reservation is not None
    assert read(one.reservation).spec.nominations == ()


# --- what a node must offer first ---


def offering(**resources: str) -> Node:
    made = joined(placeholder(), ready=True)
    allocatable = {**made.status.allocatable, **{DEVICE if key == "gpu" else key: v for key, v in resources.items()}}
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, allocatable=allocatable))


@pytest.mark.parametrize(
    ("node", "missing"),
    [
        (offering(), DEVICE),
        (offering(gpu="0"), DEVICE),
        (offering(gpu="nonsense"), DEVICE),
        (offering(gpu="1"), ""),
        (offering(gpu="8"), ""),
    ],
)
def test_a_device_is_published_once_the_kubelet_says_how_many(node: Node, missing: str) -> None:
    assert published.missing(wanting_device(pod(1)), node, Storage()) == missing


@pytest.mark.parametrize(
    ("drivers", "provisioner", "missing"),
    [
        ({NAME: ["csi.example"]}, "csi.example", ""),
        ({NAME: [], "other": ["csi.example"]}, "csi.example", "csi.example"),
        ({"other": ["csi.example"]}, "csi.example", "csi.example"),
        ({NAME: [], "other": ["csi.example"]}, "rancher.io/local-path", ""),
        ({}, "csi.example", ""),
    ],
    ids=["registered", "not here yet", "no kubelet's word yet", "none of CSI", "nobody knows it"],
)
@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_volume_driver_is_waited_for_where_other_nodes_have_it(
    drivers: dict[str, list[str]], provisioner: str, missing: str, ephemeral: bool
) -> None:
    storage = Storage()
    for name, found in drivers.items():
        spec = CsiNodeSpec(drivers=tuple(CsiNodeDriver(name=each, node_id="i") for each in found))
        storage.csi_nodes[name] = CsiNode(metadata=ObjectMeta(name=name), spec=spec)
    storage.classes["fast"] = StorageClass(metadata=ObjectMeta(name="fast"), provisioner=provisioner)
    claim_name = "p1-data" if ephemeral else "data"
    claim = PersistentVolumeClaim(
        metadata=ObjectMeta(name=claim_name, namespace="ns"), spec=PersistentVolumeClaimSpec(storage_class_name="fast")
    )
    storage.put(PersistentVolumeClaim, claim.key, claim)
    source = {"ephemeral": {}} if ephemeral else {"persistentVolumeClaim": {"claimName": "data"}}
    volume = msgspec.convert({"name": "data", **source}, Volume)
    one = pod(1)
    one = msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, volumes=(volume,)))
    found_missing = published.missing(one, offering(), storage)
    assert found_missing == (f"the volume driver {missing}" if missing else "")
    bound = msgspec.structs.replace(claim, spec=msgspec.structs.replace(claim.spec, volume_name="pv"))
    storage.put(PersistentVolumeClaim, claim.key, bound)
    assert published.missing(one, offering(), storage) == ""


# --- what is written down ---


def test_what_is_written_down_counts_tries_and_goes_with_its_pin() -> None:
    spec = merging.with_nominations(spec_of(1, 2), ["u1"], at=DEADLINE)
    spec = merging.with_nominations(spec, ["u1", "u2"], at=DEADLINE)
    assert [(n.uid, n.tries) for n in spec.nominations] == [("u1", 2), ("u2", 1)]
    assert [n.uid for n in merging.without_pins(spec, {"u1"}).nominations] == ["u2"]
    assert read(reservation_of(spec)).spec == spec


@pytest.mark.parametrize(
    "entry",
    [{"uid": ""}, {"uid": "u1", "tries": 0}, {"uid": "u1", "tries": -1}, {"uid": "u1", "at": "soon"}, {"uid": 4}],
)
def test_a_record_that_a_person_has_spoilt_is_named(entry: dict[str, Any]) -> None:
    raw = {"nominations": [{"uid": "u1", "tries": 1, "at": DEADLINE, **entry}]}
    reading = read(reservation_of(spec_of(1), raw=raw))
    assert reading.spec.nominations == ()
    assert any("nominations" in problem.field for problem in reading.problems)
