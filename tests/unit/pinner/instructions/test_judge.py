"""The judgement of an instruction: refused with its reason before anything is stored, deferred, or a new intent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.objects import Container, Node, Pod, PodSpec, ResourceRequirements, Taint, Toleration
from moorage.objects.base import OwnerReference
from moorage.objects.pod import NamedItem
from moorage.pinner import eligibility
from moorage.pinner.decisions.observation import Observation
from moorage.pinner.instructions import judge
from moorage.pinner.instructions.judge import Accepted, Context, Deferred, Refused, Settled, digest
from moorage.pinner.refusal import Refusal
from moorage.protocol import (
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Outcome,
    Owner,
    PinPods,
    PodRef,
    Position,
    Promise,
    ReasonCode,
    Release,
    Slot,
)
from moorage.reservations import Nomination, Record, Spec, merging
from tests.unit.pinner.model import DEADLINE, NAME, NOW, Corner, joined, placeholder, pod, reservation_of, spec_of

ROOM = {"cpu": "4", "memory": "8Gi", "pods": "10"}


def instruction(action: Any, *, id: str = "new", position: Position = Position(1, 9), **fields: Any) -> Instruction:  # noqa: B008
    return Instruction(id, position, NOW, fields.pop("deadline", NOW + timedelta(minutes=5)), action, **fields)


def ref(number: int, uid: str = "") -> PodRef:
    return PodRef("ns", f"p{number}", uid or f"u{number}")


def take(
    action: Any,
    corner: Corner,
    *,
    spec: Spec | None = None,
    epoch: int = 1,
    capped: bool = False,
    behind: bool = False,
    nodes: Sequence[Node] = (),
    **how: Any,
) -> Any:
    seen = corner.observe()
    pods = {f"ns/{name}": each for name, each in corner.pods.items()}
    refusal = Refusal(ReasonCode.OWNER_CAPPED) if capped else None
    around = Context(epoch, "generic", pods.get, lambda _: refusal, lambda: nodes, behind)
    return judge.judge(instruction(action, **how), seen, spec if spec is not None else seen.spec, around)


def why(admission: Any) -> tuple[str, str]:
    assert isinstance(admission, Refused), admission
    return admission.outcome.value, admission.refusal.reason.name


def held(*numbers: int, **how: Any) -> Corner:
    pods = {f"p{n}": pod(n) for n in (1, 2, 3)}
    return Corner(**{"reservation": reservation_of(spec_of(*numbers)), "node": placeholder(), "pods": pods, **how})


NOBODY = Corner(None)
SLOTS = (Slot(Owner("Deployment", "ns", "web"), {"cpu": "1"}, 1),)
PROMISED = CreatePlaceholder(Promise(NAME, ROOM, {"pool": "a"}))


def test_a_promise_is_accepted_once_and_again_and_not_differently() -> None:
    first = take(PROMISED, NOBODY)
    assert isinstance(first, Accepted)
    assert first.spec.promise is not None
    assert first.spec.promise.profile == "generic"
    corner = held(reservation=reservation_of(first.spec))
    again = take(CreatePlaceholder(Promise(NAME, {**ROOM, "cpu": "4000m"}, {"pool": "a"})), corner, id="other")
    assert isinstance(again, Accepted)
    assert again.spec.promise == first.spec.promise
    other = take(CreatePlaceholder(Promise(NAME, {**ROOM, "cpu": "5"}, {"pool": "a"})), corner, id="other")
    assert why(other) == ("rejected", "DUPLICATE_NODE")


@pytest.mark.parametrize(
    ("action", "corner", "how", "expected"),
    [
        (PROMISED, NOBODY, {"id": ""}, ("rejected", "MALFORMED")),
        (PROMISED, NOBODY, {"id": "x" * 129}, ("rejected", "MALFORMED")),
        (CreatePlaceholder(Promise("No", ROOM)), NOBODY, {}, ("rejected", "INVALID_NODE_NAME")),
        (PROMISED, NOBODY, {"epoch": 2}, ("rejected", "STALE_EPOCH")),
        (PROMISED, NOBODY, {"deadline": NOW}, ("failed", "DEADLINE_PASSED")),
        (PROMISED, Corner(None, node=placeholder(ours=False)), {}, ("rejected", "NODE_FOREIGN")),
        (PROMISED, Corner(None, node=joined(placeholder(), ready=True)), {}, ("rejected", "NODE_IS_REAL")),
        (CreatePlaceholder(Promise(NAME, ROOM, profile="x")), NOBODY, {}, ("rejected", "UNKNOWN_PROFILE")),
        (CreatePlaceholder(Promise(NAME, {})), NOBODY, {}, ("rejected", "INVALID_QUANTITY")),
        (CreatePlaceholder(Promise(NAME, ROOM, {"a b": "c"})), NOBODY, {}, ("rejected", "INVALID_METADATA")),
        (CreatePlaceholder(Promise(NAME, ROOM, provider_id="a b")), NOBODY, {}, ("rejected", "INVALID_METADATA")),
        (PinPods(NAME, (ref(1),)), NOBODY, {}, ("rejected", "PLACEHOLDER_MISSING")),
        (PinPods(NAME, (ref(1),)), Corner(None, node=placeholder(ours=False)), {}, ("rejected", "NODE_FOREIGN")),
        (PinPods(NAME, ()), held(), {}, ("rejected", "MALFORMED")),
        (PinPods(NAME, (ref(1), ref(1))), held(), {}, ("rejected", "MALFORMED")),
        (ExpectPods(NAME, ()), held(), {}, ("rejected", "MALFORMED")),
        (ExpectPods(NAME, SLOTS), NOBODY, {}, ("rejected", "PLACEHOLDER_MISSING")),
        (DeletePlaceholder(NAME), held(node=joined(placeholder(), ready=True)), {}, ("rejected", "NODE_IS_REAL")),
        (DeletePlaceholder(NAME), Corner(None, node=placeholder(ours=False)), {}, ("rejected", "NODE_FOREIGN")),
    ],
)
def test_what_is_wrong_whatever_the_pods_are(action: Any, corner: Corner, how: Any, expected: tuple[str, str]) -> None:
    assert why(take(action, corner, **how)) == expected


@pytest.mark.parametrize(
    ("slot", "reason"),
    [
        (Slot(Owner("", "n", "w"), {}, 1), "MALFORMED"),
        (Slot(Owner("Deployment", "n", "w"), {}, 0), "INVALID_QUANTITY"),
        (Slot(Owner("Deployment", "n", "w"), {}, 10_001), "INVALID_QUANTITY"),
        (Slot(Owner("Deployment", "n", "w"), {"cpu": "-1"}, 1), "INVALID_QUANTITY"),
    ],
)
def test_slots_that_make_no_sense(slot: Slot, reason: str) -> None:
    assert why(take(ExpectPods(NAME, (slot,)), held()))[1] == reason


def test_slots_replace_slots_and_a_release_ends_them() -> None:
    slot = Slot(Owner("Deployment", "n", "w"), {"cpu": "1"}, 2)
    expected = take(ExpectPods(NAME, (slot,)), held())
    assert expected.spec.slots[0].count == 2
    assert expected.spec.expected_until
    released = take(Release(NAME), held(), spec=expected.spec, id="r", position=Position(1, 10))
    assert (released.spec.slots, released.spec.released) == ((), True)
    assert isinstance(take(Release(NAME), NOBODY), Settled)
    assert isinstance(take(DeletePlaceholder(NAME), NOBODY), Settled)


def test_the_order_of_positions_counts_but_not_for_pins_which_add_up() -> None:
    spec = merging.with_record(spec_of(1), Record("release", "Release", 1, 20))
    corner = held(reservation=reservation_of(spec))
    assert why(take(ExpectPods(NAME, SLOTS), corner)) == ("rejected", "SUPERSEDED")
    assert why(take(DeletePlaceholder(NAME), corner)) == ("rejected", "SUPERSEDED")
    assert isinstance(take(DeletePlaceholder(NAME), corner, position=Position(2, 1)), Accepted)
    pinned = take(PinPods(NAME, (ref(2),)), corner)
    assert [p.uid for p in pinned.spec.pins] == ["u1", "u2"]


def test_an_id_means_one_action() -> None:
    accepted = take(PinPods(NAME, (ref(1),)), held(), id="same")
    corner = held(reservation=reservation_of(accepted.spec))
    assert isinstance(take(PinPods(NAME, (ref(1),)), corner, id="same"), Accepted)
    assert why(take(PinPods(NAME, (ref(2),)), corner, id="same")) == ("rejected", "ID_REUSED")


def test_a_digest_is_of_the_bytes_on_the_wire_and_of_nothing_else() -> None:
    """A later version's new field at its default, or another order of labels, makes no other action of it."""

    @dataclasses.dataclass(frozen=True)
    class LaterPinPods(PinPods):
        preemptible: bool = False

    def digest_of(action: Action) -> str:
        return digest(Instruction("i", Position(1, 1), NOW, NOW, action))

    one, later = PinPods(NAME, (ref(1),)), LaterPinPods(NAME, (ref(1),))
    assert digest_of(one) == digest_of(later)
    assert digest_of(one) == "wire-d1f60b74a6945353", "stored in clusters: it must never change"
    assert digest_of(one) != digest_of(PinPods(NAME, (ref(2),)))
    assert digest_of(DeletePlaceholder(NAME)) != digest_of(Release(NAME))
    labels = {"a": "1", "b": "2", "c": "3"}
    turned = dict(reversed(labels.items()))
    promises = [dataclasses.replace(PROMISED.promise, labels=each) for each in (labels, turned)]
    assert digest_of(CreatePlaceholder(promises[0])) == digest_of(CreatePlaceholder(promises[1]))


def test_a_digest_of_another_kind_is_not_compared() -> None:
    accepted = take(PinPods(NAME, (ref(1),)), held(), id="same")
    records = tuple(msgspec.structs.replace(r, digest="0123456789abcdef") for r in accepted.spec.instructions)
    corner = held(reservation=reservation_of(msgspec.structs.replace(accepted.spec, instructions=records)))
    assert isinstance(take(PinPods(NAME, (ref(1),)), corner, id="same"), Accepted)


def test_what_is_behind_an_instruction_that_waits_waits_unless_it_is_wrong() -> None:
    given_up = held(reservation=reservation_of(spec_of(1, intent="Delete")))
    assert isinstance(take(PinPods(NAME, (ref(1),)), given_up, behind=True), Deferred)
    late = take(PinPods(NAME, (ref(1),)), given_up, behind=True, deadline=NOW - timedelta(seconds=1))
    assert why(late) == ("failed", "DEADLINE_PASSED")


def test_a_pin_that_is_issued_again_has_the_later_deadline_and_a_late_repetition_takes_nothing_back() -> None:
    first = take(PinPods(NAME, (ref(1),)), held(), id="first", position=Position(1, 5))
    corner = held(reservation=reservation_of(first.spec))
    second = take(PinPods(NAME, (ref(1), ref(2))), corner, id="second", position=Position(1, 6))
    assert {pin.uid: pin.instruction for pin in second.spec.pins} == {"u1": "second", "u2": "second"}
    corner = held(reservation=reservation_of(second.spec))
    third = take(PinPods(NAME, (ref(1),)), corner, id="first", position=Position(1, 5))
    assert {pin.uid: pin.instruction for pin in third.spec.pins} == {"u1": "second", "u2": "second"}


def test_a_new_promise_waits_until_the_old_one_is_undone() -> None:
    given_up = held(reservation=reservation_of(spec_of(1, intent="Delete")))
    assert isinstance(take(PROMISED, given_up), Deferred)
    assert why(take(PinPods(NAME, (ref(1),)), given_up)) == ("rejected", "SUPERSEDED")
    late = held(now=NOW + timedelta(minutes=11))
    assert isinstance(take(PROMISED, late, deadline=NOW + timedelta(hours=1)), Deferred)
    lost = held(reservation=reservation_of(spec_of(1, node_uid="n")), node=None)
    assert isinstance(take(PROMISED, lost), Deferred)


def test_too_many_pins_are_too_many() -> None:
    corner = held()
    pods = {f"p{n}": pod(n) for n in range(1001)}
    corner.pods = pods
    assert why(take(PinPods(NAME, tuple(ref(n) for n in range(1001))), corner)) == ("rejected", "TOO_LARGE")
    assert isinstance(take(PinPods(NAME, tuple(ref(n) for n in range(1000))), corner), Accepted)


def test_every_pod_is_judged_by_itself() -> None:
    corner = held()
    corner.pods["p2"] = pod(2, node="other")
    corner.pods["p3"] = pod(3, node=NAME)
    admission = take(PinPods(NAME, (ref(1), ref(2), ref(3), ref(4), ref(1, "old"))), corner)
    assert [p.uid for p in admission.spec.pins] == ["u1"]
    results = {uid: (r.outcome, r.reason.name, r.node) for uid, r in admission.pods.items()}
    assert results == {
        "u2": (Outcome.REJECTED, "POD_BOUND_ELSEWHERE", "other"),
        "u3": (Outcome.APPLIED, "OK", NAME),
        "u4": (Outcome.REJECTED, "POD_NOT_FOUND", ""),
        "old": (Outcome.REJECTED, "POD_UID_CHANGED", ""),
    }


def test_pins_on_a_settled_or_unknown_node_are_soft_and_owners_that_fail_are_left_alone() -> None:
    settled = held(reservation=reservation_of(spec_of(1), is_open=False), node=joined(placeholder(), ready=True))
    unknown = Corner(None, node=joined(placeholder(ours=False), ready=True), pods={"p1": pod(1)})
    for corner in (settled, unknown):
        admission = take(PinPods(NAME, (ref(1),)), corner)
        assert isinstance(admission, Settled)
        assert admission.pods["u1"].reason.name == "SOFT_PIN_UNSUPPORTED"
    capped = take(PinPods(NAME, (ref(1),)), held(), capped=True)
    assert capped.pods["u1"].reason.name == "OWNER_CAPPED"


# --- which pods ---


def wanting(**requests: str) -> PodSpec:
    return PodSpec(containers=(Container(resources=ResourceRequirements(requests=dict(requests))),))


def owned_by(api_version: str, kind: str) -> Any:
    return {"owner_references": (OwnerReference(api_version, kind, "o", "ou", controller=True),)}


@pytest.mark.parametrize(
    ("meta", "spec", "status", "reason"),
    [
        ({}, {}, {}, ""),
        (owned_by("v1", "ReplicationController"), {}, {}, ""),
        (owned_by("apps/v1", "StatefulSet"), {}, {}, ""),
        ({"owner_references": ()}, {}, {}, "POD_UNMANAGED"),
        (owned_by("example.com/v1", "ReplicaSet"), {}, {}, "POD_UNMANAGED"),
        (owned_by("v1", "Node"), {}, {}, "POD_UNMANAGED"),
        (owned_by("batch/v1", "Job"), {}, {}, "POD_JOB"),
        (owned_by("apps/v1", "DaemonSet"), {}, {}, "POD_DAEMON"),
        ({"labels": {"scheduling.x-k8s.io/pod-group": "g"}}, {}, {}, "POD_GANG"),
        ({"deletion_timestamp": "2026-01-31T12:00:00Z"}, {}, {}, "POD_TERMINATING"),
        ({}, {"scheduling_gates": (NamedItem("g"),)}, {}, "POD_GATED"),
        ({}, {"scheduler_name": "default-scheduler"}, {}, ""),
        ({}, {"scheduler_name": "other"}, {}, "POD_OTHER_SCHEDULER"),
        ({}, {}, {"nominated_node_name": "n"}, "POD_NOMINATED"),
        ({}, {}, {"phase": "Succeeded"}, "POD_FINISHED"),
        ({}, {"resource_claims": (NamedItem("c"),)}, {}, "SOFT_PIN_UNSUPPORTED"),
        ({}, {"containers": wanting(**{"nvidia.com/gpu": "1"}).containers}, {}, ""),
    ],
)
def test_which_pods_may_be_pinned(meta: Any, spec: Any, status: Any, reason: str) -> None:
    base = pod(1)
    one = Pod(
        metadata=msgspec.structs.replace(base.metadata, **meta),
        spec=msgspec.structs.replace(base.spec, **spec),
        status=msgspec.structs.replace(base.status, **status),
    )
    refusal = eligibility.refuse(one)
    assert (refusal.reason.name if refusal else "") == reason


@pytest.mark.parametrize(
    ("spec", "wants"),
    [
        ({"containers": wanting(**{"nvidia.com/gpu": "1"}).containers}, "nvidia.com/gpu"),
        ({"init_containers": wanting(**{"vpc.amazonaws.com/eni": "1"}).containers}, "vpc.amazonaws.com/eni"),
        ({"containers": (Container(resources=ResourceRequirements(limits={"x.com/y": "1"})),)}, "x.com/y"),
        ({"containers": wanting(**{"cpu": "1", "hugepages-2Mi": "4Mi"}).containers}, ""),
    ],
)
def test_which_pods_the_scheduler_must_place_itself(spec: Any, wants: str) -> None:
    base = pod(1)
    one = msgspec.structs.replace(base, spec=msgspec.structs.replace(base.spec, **spec))
    found = eligibility.refuse_binding(one)
    assert (found is not None) is bool(wants)
    assert found is None or wants in found.why.text


@pytest.mark.parametrize(
    ("policy", "reason"), [("", ""), ("PreemptLowerPriority", ""), ("Never", "SOFT_PIN_UNSUPPORTED")]
)
def test_a_pod_that_would_keep_a_nomination_for_ever_gets_none(policy: str, reason: str) -> None:
    base = pod(1)
    one = msgspec.structs.replace(base, spec=msgspec.structs.replace(base.spec, preemption_policy=policy))
    refusal = eligibility.refuse_nomination(one)
    assert (refusal.reason.name if refusal else "") == reason


def test_our_own_nomination_is_no_reason_to_refuse_a_pod() -> None:
    one = pod(1, nominated_node_name=NAME)
    corner = held(reservation=reservation_of(spec_of(2, nominations=(Nomination("u1", 1, DEADLINE),))))
    corner.pods = {"p1": one}
    assert isinstance(take(PinPods(NAME, (ref(1),)), corner), Accepted)
    corner.reservation = reservation_of(spec_of(2))
    assert take(PinPods(NAME, (ref(1),)), corner).pods["u1"].reason.name == "POD_NOMINATED"


def test_what_the_scheduler_has_placed_as_it_was_nominated_is_told_from_a_pin() -> None:
    corner = held(reservation=reservation_of(spec_of(1, nominations=(Nomination("u1", 1, DEADLINE),))))
    corner.pods = {"p1": pod(1, node=NAME)}
    (result,) = take(PinPods(NAME, (ref(1),)), corner).pods.values()
    assert (result.outcome, result.reason.name, result.node) == (Outcome.APPLIED, "POD_NOMINATED", NAME)


@pytest.mark.parametrize(
    ("toleration", "stays"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="k", operator="Exists", effect="NoExecute"), True),
        (Toleration(key="k", value="v"), True),
        (Toleration(key="k", value="w"), False),
        (Toleration(key="k", operator="Exists", effect="NoSchedule"), False),
        (Toleration(key="k", operator="Exists", toleration_seconds=300), False),
        (Toleration(key="other", operator="Exists"), False),
        (Toleration(value="v"), False),
    ],
)
def test_only_a_toleration_for_ever_keeps_a_pod_under_no_execute(toleration: Toleration, stays: bool) -> None:
    base = pod(1)
    one = msgspec.structs.replace(base, spec=msgspec.structs.replace(base.spec, tolerations=(toleration,)))
    assert (eligibility.refuse_eviction(one, [Taint("k", "v", "NoExecute")]) is None) is stays
    assert eligibility.refuse_eviction(base, [Taint("k", "v", "NoSchedule")]) is None


def test_the_observation_of_nothing_is_harmless() -> None:
    empty = Observation(NAME, NOW)
    assert not empty.is_ours
    assert not empty.open
    assert not empty.given_up
    assert dataclasses.replace(empty, node=placeholder()).is_ours is False
