"""The decision about one node, situation by situation."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.objects import OwnerReference, Pod
from moorage.objects.pod import ContainerStatus
from moorage.pinner.decisions import pins
from moorage.pinner.decisions.signs import Signs
from moorage.pinner.decisions.steps import (
    Bind,
    Confirm,
    CreateNode,
    Decision,
    DeleteNode,
    DeletePod,
    EditReservation,
    EndReservation,
    PatchNode,
)
from moorage.pinner.names import PREPARING, RESERVATION_ANNOTATION
from moorage.pinner.refusal import Refusal
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Spec
from tests.unit.pinner import model
from tests.unit.pinner.model import (
    DEADLINE,
    LATE,
    NAME,
    NOW,
    Corner,
    joined,
    placeholder,
    pod,
    reservation_of,
    spec_of,
    started,
)

DAEMON = (OwnerReference("apps/v1", "DaemonSet", "d", "du", controller=True),)
HELD = msgspec.structs.replace(
    placeholder().metadata, deletion_timestamp=NOW.isoformat(), finalizers=("example.com/hold",)
)


def corner(*numbers: int, **how: Any) -> Corner:
    """A held placeholder with these pods pinned and bound."""
    pods = {f"p{n}": pod(n, node=NAME) for n in numbers}
    return Corner(**{"reservation": reservation_of(spec_of(*numbers)), "node": placeholder(), "pods": pods, **how})


def kinds(decision: Decision) -> list[type]:
    return [type(step) for step in decision.steps]


def reasons(decision: Decision) -> dict[str, str]:
    return {uid: state.refusal.reason.name if state.refusal else "" for uid, state in decision.pins.items()}


def test_nothing_is_intended_and_nothing_is_done() -> None:
    assert Corner(None, node=placeholder(ours=False)).decide() == Decision()


def test_an_intent_becomes_a_placeholder_and_its_pods_are_bound_to_it_then() -> None:
    one = Corner(reservation_of(spec_of(1, 2)), pods={"p1": pod(1), "p2": pod(2)})
    assert kinds(one.decide()) == [CreateNode]
    one.do(one.decide().steps[0])
    decision = one.decide()
    assert kinds(decision) == [Bind, Bind]
    assert {state.outcome for state in decision.pins.values()} == {None}
    one.settle()
    assert {state.outcome for state in one.decide().pins.values()} == {Outcome.APPLIED}
    assert one.decide().state == "Placeholder"
    assert one.reservation is not None
    assert one.reservation.spec["nodeUID"] == "n"


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ({}, "POD_NOT_FOUND"),
        ({"p1": pod(2)}, "POD_UID_CHANGED"),
        ({"p1": pod(1, node="other")}, "POD_BOUND_ELSEWHERE"),
        ({"p1": pod(1, phase="Failed")}, "POD_FINISHED"),
        ({"p1": pod(1, nominated_node_name="x")}, "POD_NOMINATED"),
    ],
)
def test_what_cannot_be_pinned_any_more_leaves_the_intent(there: dict[str, Pod], reason: str) -> None:
    if "p1" in there and there["p1"].metadata.uid == "u2":
        renamed = msgspec.structs.replace(there["p1"].metadata, name="p1")
        there = {"p1": msgspec.structs.replace(there["p1"], metadata=renamed)}
    one = Corner(reservation_of(spec_of(1)), node=placeholder(), pods=dict(there))
    assert reasons(one.decide()) == {"u1": reason}
    one.settle()
    assert one.reservation is not None
    assert not one.reservation.spec.get("pins")
    assert one.pods == there


def test_a_full_node_refuses_the_rest() -> None:
    one = Corner(reservation_of(spec_of(1, 2)), node=placeholder(), pods={"p1": pod(1), "p2": pod(2)}, capacity=1)
    decision = one.decide()
    assert [step.pin.uid for step in decision.steps if isinstance(step, Bind)] == ["u1"]
    assert reasons(decision)["u2"] == "NODE_FULL"


def test_a_pin_that_came_too_late_has_failed() -> None:
    one = Corner(reservation_of(spec_of(1, deadline="")), node=placeholder(), pods={"p1": pod(1)}, now=LATE)
    assert one.decide().pins["u1"].outcome is Outcome.FAILED
    one.settle()
    assert one.pods["p1"].spec.node_name == ""


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"now": LATE}, "NODE_FAILED"),
        ({"node": None, "made": True}, "PLACEHOLDER_REMOVED"),
        ({"reservation": reservation_of(spec_of(1, intent="Delete"))}, "SUPERSEDED"),
        ({"reservation": reservation_of(spec_of(1), deleted=True)}, "SUPERSEDED"),
        ({"reservation": reservation_of(spec_of(1, node_uid="n")), "node": None}, "PLACEHOLDER_REMOVED"),
    ],
)
def test_a_failure_is_looked_at_twice_then_takes_pods_node_and_intent_in_this_order(how: Any, reason: str) -> None:
    one = corner(1, **how)
    seen = []
    while steps := one.decide().steps:
        assert one.decide().ended is not None
        assert one.decide().ended.reason.name == reason  # type: ignore[union-attr]
        (step,) = steps
        seen.append(type(step))
        one.do(step)
    had_node = "node" not in how
    wanted = [Confirm, DeletePod, *((Confirm, DeleteNode) if had_node else ()), Confirm, EndReservation]
    assert seen == wanted
    assert (one.pods, one.node, one.reservation) == ({}, None, None)


def test_a_node_that_is_not_ours_is_left_alone_with_its_pods() -> None:
    for node in (placeholder(ours=False), joined(placeholder(ours=False), ready=True)):
        one = corner(1, node=node)
        one.settle()
        assert one.node is node
        assert one.reservation is None
        assert one.pods["p1"].spec.node_name == NAME


def test_a_machine_that_joined_is_adopted_and_the_reservation_closed() -> None:
    one = corner(1)
    one.settle()
    assert one.node is not None
    one.node = joined(one.node, ready=False)
    assert one.decide().state == "Joining"
    assert kinds(one.decide()) == []
    one.node = joined(one.node, ready=True)
    decision = one.decide()
    assert kinds(decision) == [PatchNode]
    one.settle()
    assert one.node.metadata.labels["pool"] == "a"
    assert PREPARING not in {t.key for t in one.node.spec.taints}
    assert one.reservation is not None
    assert one.reservation.metadata.finalizers == ()
    assert one.decide().state == "Ready"


def test_pods_are_bound_to_a_joined_node_only_while_the_scheduler_is_kept_away() -> None:
    spec = spec_of(1)
    guarded = Corner(reservation_of(spec), node=joined(placeholder(), ready=True), pods={"p1": pod(1)})
    assert kinds(guarded.decide()) == [Bind]
    assert guarded.node is not None
    node = msgspec.structs.replace(guarded.node, spec=msgspec.structs.replace(placeholder().spec, taints=()))
    opened = Corner(reservation_of(spec), node=node, pods={"p1": pod(1)})
    assert reasons(opened.decide()) == {"u1": "SOFT_PIN_UNSUPPORTED"}
    opened.settle()
    assert opened.pods["p1"].spec.node_name == ""


def test_a_node_that_never_got_ready_keeps_itself_and_its_running_pods() -> None:
    one = corner(1, 2, node=joined(placeholder(), ready=False), now=LATE)
    one.pods["p2"] = started(one.pods["p2"])
    one.settle()
    assert one.node is not None
    assert one.node.spec.taints == ()
    assert one.pods["p1"].metadata.deletion_timestamp is not None
    assert one.pods["p2"].metadata.deletion_timestamp is None
    assert one.reservation is not None
    assert one.reservation.metadata.finalizers == ()


def test_a_machine_that_has_gone_leaves_nothing_of_ours_and_its_pods_to_others() -> None:
    spec = spec_of(1, node_uid="n")
    one = Corner(reservation_of(spec, is_open=False), pods={"p1": started(pod(1, node=NAME))})
    ended = one.decide().ended
    assert ended is not None
    assert ended.text == f"node {NAME} has gone"
    one.settle()
    assert one.reservation is None
    assert "p1" in one.pods


def leaving(one: Pod, api_version: str = "apps/v1", kind: str = "ReplicaSet", grace: int = 600, **status: Any) -> Pod:
    """A pod on the node that somebody has deleted, with its grace still to come."""
    references = (OwnerReference(api_version, kind, "o", "ou", controller=True),)
    meta = msgspec.structs.replace(
        one.metadata,
        deletion_timestamp=(NOW + timedelta(seconds=grace)).isoformat(),
        deletion_grace_period_seconds=grace,
        owner_references=references,
    )
    return msgspec.structs.replace(one, metadata=meta, status=msgspec.structs.replace(one.status, **status))


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize(
    "owner", [(), ("apps/v1", "DaemonSet"), ("batch/v1", "Job"), ("apps/v1", "StatefulSet"), ("example.com/v1", "X")]
)
def test_a_deleted_pod_that_never_started_is_let_go_at_once_where_no_kubelet_is(owner: Any, pinned: bool) -> None:
    one = corner(*((1,) if pinned else ()))
    one.pods["p1"] = leaving(pod(1, node=NAME), *owner)
    assert kinds(one.decide()) == [Confirm]
    assert one.decide().wake == NOW + pins.LOOK_AGAIN, "should a kubelet be on its way"
    one.do(one.decide().steps[0])
    (step,) = one.decide().steps
    assert isinstance(step, DeletePod)
    assert step.grace == 0
    assert step.why.reason is ReasonCode.POD_TERMINATING
    one.settle()
    assert one.pods == {}
    assert one.node is not None


@pytest.mark.parametrize("sign", ["somebody else has renewed its Lease", "it has a CSINode"])
def test_a_deleted_pod_keeps_its_grace_where_something_tells_of_a_kubelet(sign: str) -> None:
    one = corner(signs=Signs(sign))
    one.pods["p1"] = leaving(pod(1, node=NAME))
    one.settle()
    assert "p1" in one.pods


WAITING = (ContainerStatus(name="main"),)
BEGUN: dict[str, dict[str, Any]] = {
    "a start": {"start_time": NOW.isoformat()},
    "a container": {"container_statuses": WAITING},
    "an init container": {"init_container_statuses": WAITING},
}


@pytest.mark.parametrize("begun", BEGUN)
def test_a_deleted_pod_that_a_kubelet_has_begun_with_keeps_its_grace(begun: str) -> None:
    one = corner()
    one.pods["p1"] = leaving(pod(1, node=NAME), **BEGUN[begun])
    assert kinds(one.decide()) == []
    assert "p1" in one.pods


def test_what_finalizers_hold_and_what_lives_there_is_not_deleted_again() -> None:
    one = corner()
    one.pods["p1"] = leaving(pod(1, node=NAME), grace=0)
    one.pods["p2"] = msgspec.structs.replace(
        pod(2, node=NAME), metadata=msgspec.structs.replace(pod(2).metadata, owner_references=DAEMON)
    )
    assert kinds(one.decide()) == []


def test_on_a_placeholder_that_others_hold_deleted_pods_are_let_go_too() -> None:
    one = corner(node=msgspec.structs.replace(placeholder(), metadata=HELD))
    one.pods["p1"] = leaving(pod(1, node=NAME), "apps/v1", "DaemonSet")
    one.pods["p2"] = msgspec.structs.replace(
        pod(2, node=NAME), metadata=msgspec.structs.replace(pod(2).metadata, owner_references=DAEMON)
    )
    for _ in range(3):
        for step in one.decide().steps:
            one.do(step)
    assert set(one.pods) == {"p2"}


def test_a_daemon_sets_pod_is_never_taken_away_alive_whatever_the_reservation_says() -> None:
    one = corner(1, reservation=reservation_of(spec_of(1, intent="Delete")))
    meta = msgspec.structs.replace(one.pods["p1"].metadata, owner_references=DAEMON)
    one.pods["p1"] = msgspec.structs.replace(one.pods["p1"], metadata=meta)
    one.settle()
    assert (one.node, "p1" in one.pods) == (None, True)


def test_pods_that_a_kubelet_refused_are_swept_and_of_those_of_others_no_more_than_allowed() -> None:
    one = corner(*range(1, 12), node=joined(placeholder(), ready=True))
    one.pods |= {f"p{n}": pod(n, node=NAME) for n in range(20, 32)}
    for name, each in one.pods.items():
        status = msgspec.structs.replace(each.status, phase="Failed", reason="OutOfcpu")
        one.pods[name] = msgspec.structs.replace(each, status=status)
    seen = dataclasses.replace(one.observe(), sweeps_left={"uid-web": 4})
    swept = pins.sweep(seen, one.room())
    assert all(step.sweep and step.grace is None for step in swept)
    numbers = [int(step.pod.metadata.uid[1:]) for step in swept]
    assert [number for number in numbers if number < 20] == list(range(1, 12)), "no pin is left where it never starts"
    assert len([number for number in numbers if number >= 20]) == 4


@pytest.mark.parametrize("owner", [("batch/v1", "Job"), ("apps/v1", "DaemonSet"), ("example.com/v1", "ReplicaSet")])
def test_pods_that_nobody_surely_creates_again_are_never_swept(owner: tuple[str, str]) -> None:
    one = corner(1, node=joined(placeholder(), ready=False))
    status = msgspec.structs.replace(one.pods["p1"].status, phase="Failed", reason="OutOfcpu")
    references = (OwnerReference(*owner, "o", "ou", controller=True),)
    meta = msgspec.structs.replace(one.pods["p1"].metadata, owner_references=references)
    one.pods["p1"] = msgspec.structs.replace(one.pods["p1"], metadata=meta, status=status)
    assert kinds(one.decide()) == []


def test_a_misplaced_pod_on_a_placeholder_is_deleted_without_grace_after_a_look() -> None:
    one = corner(1, misplaced=frozenset({"u1"}))
    assert kinds(one.decide()) == [Confirm]
    one.do(one.decide().steps[0])
    (step,) = one.decide().steps
    assert isinstance(step, DeletePod)
    assert step.grace == 0


def test_who_cannot_read_an_intent_destroys_nothing_unless_it_is_deleted_by_hand() -> None:
    raw = {"deadline": "whenever", "intent": "Delete"}
    broken = corner(1, reservation=reservation_of(spec_of(1), raw=raw))
    assert broken.decide().state == "Stopped"
    assert "spec.deadline" in broken.decide().message
    broken.settle()
    assert (broken.node is not None, "p1" in broken.pods) == (True, True)
    removed = corner(1, reservation=reservation_of(spec_of(1), raw=raw, deleted=True))
    removed.settle()
    assert (removed.node, removed.reservation) == (None, None)


def test_an_empty_spec_waits_for_a_person() -> None:
    one = Corner(reservation_of(Spec()))
    assert (kinds(one.decide()), one.decide().state) == ([], "Stopped")


def test_a_released_placeholder_goes_when_it_holds_nothing() -> None:
    empty = corner(reservation=reservation_of(spec_of(released=True)))
    empty.settle()
    assert (empty.node, empty.reservation) == (None, None)
    holding = corner(1, reservation=reservation_of(spec_of(1, released=True)))
    holding.settle()
    assert holding.node is not None


def test_the_model_notices_what_it_should() -> None:
    one = corner(1)
    with pytest.raises(AssertionError):
        one.do(DeleteNode(placeholder(), Refusal(ReasonCode.OK)))
    assert one.shape()[0] == spec_of(1)
    assert DEADLINE in str(one.shape()[0])


def test_a_pod_whose_time_has_passed_on_a_node_that_has_joined_is_not_told_that_it_has_not() -> None:
    node = joined(placeholder(), ready=True)
    one = Corner(
        reservation_of(spec_of(1, node_uid="n")), node=node, pods={"p1": model.wanting_device(pod(1))}, now=LATE
    )
    (state,) = one.decide().pins.values()
    assert (state.outcome, state.refusal and state.refusal.reason) == (Outcome.FAILED, ReasonCode.DEADLINE_PASSED)


def test_a_late_node_is_awaited_learned_and_taken_like_any_that_has_joined() -> None:
    one = Corner(reservation_of(spec_of(1, promise=model.BROUGHT)), pods={"p1": pod(1)})
    decision = one.decide()
    assert (decision.steps, decision.state) == ((), "Pending")
    assert decision.message == "waiting for a Node with providerID p and the taint " + PREPARING
    one.node = model.brought(joined(placeholder(), ready=True))
    decision = one.decide()
    assert (kinds(decision), decision.state) == ([EditReservation], "Joining")
    one.do(decision.steps[0])
    assert kinds(one.decide()) == [Bind]
    one.settle()
    assert one.decide().state == "Ready"
    assert one.node is not None
    assert one.node.spec.taints == ()
    assert one.node.metadata.annotations == {RESERVATION_ANNOTATION: "r"}


@pytest.mark.parametrize("learned", [False, True])
def test_a_late_node_that_does_not_come_or_goes_has_failed(learned: bool) -> None:
    how = {"node_name": NAME, "node_uid": "n"} if learned else {}
    spec = spec_of(1, promise=model.BROUGHT, **how)
    one = Corner(reservation_of(spec), pods={"p1": pod(1)}, now=NOW if learned else LATE)
    ended = one.decide().ended
    assert ended is not None
    assert ended.reason is ReasonCode.NODE_FAILED
    one.settle()
    assert one.reservation is None
