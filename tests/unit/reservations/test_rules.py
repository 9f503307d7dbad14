"""Slots, room and deadlines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Container, ObjectMeta, OwnerReference, Pod, PodSpec, PodStatus, ResourceRequirements
from moorage.reservations import Owner, Promise, Slot, Spec, rules

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WEB = Owner("Deployment", "web", "shop")


def pod(number: int, owner: str = "web-5d4f", *, phase: str = "Running", cpu: str = "500m", **meta: Any) -> Pod:
    controller = OwnerReference("apps/v1", "ReplicaSet", owner, f"uid-{owner}", controller=True)
    labels = {"pod-template-hash": owner.rpartition("-")[2]}
    return Pod(
        metadata=ObjectMeta(
            **{
                "name": f"p-{number}",
                "namespace": "shop",
                "uid": f"u-{number}",
                "labels": labels,
                "owner_references": (controller,),
                **meta,
            }
        ),
        spec=PodSpec(containers=(Container(resources=ResourceRequirements(requests={"cpu": cpu})),)),
        status=PodStatus(phase=phase),
    )


@pytest.mark.parametrize(
    ("deadline", "over"),
    [
        ("", False),
        ("nonsense", False),
        ("2026-01-31T12:00:00Z", True),
        ("2026-01-31T12:00:00.000001Z", False),
        ("2026-01-31T12:59:59+01:00", True),
    ],
)
def test_a_deadline_that_nobody_can_read_never_passes(deadline: str, over: bool) -> None:
    assert rules.expired(Spec(deadline=deadline), NOW) is over


@pytest.mark.parametrize(
    ("owner", "there", "belongs"),
    [
        (WEB, pod(1), True),
        (WEB, pod(1, "web-7c7c"), True),
        (WEB, pod(1, "web-api-5d4f"), False),
        (WEB, pod(1, "other-5d4f"), False),
        (WEB, pod(1, namespace="else"), False),
        (WEB, pod(1, owner_references=()), False),
        (Owner("ReplicaSet", "web-5d4f", "shop"), pod(1), True),
        (Owner("ReplicaSet", "web-5d4f", "shop", "uid-web-5d4f"), pod(1), True),
        (Owner("ReplicaSet", "web-5d4f", "shop", "another"), pod(1), False),
        (WEB, pod(1, labels={}), False),
    ],
)
def test_pods_belong_to_their_top_controller_in_any_revision(owner: Owner, there: Pod, belongs: bool) -> None:
    assert rules.belongs_to(there, owner) is belongs


def test_slots_are_filled_in_order_and_no_pod_fills_two() -> None:
    slots = (Slot(WEB, count=2), Slot(WEB, count=2), Slot(Owner("StatefulSet", "db", "shop"), count=1))
    left = rules.slots_left(slots, [pod(1), pod(2), pod(3), pod(4, phase="Failed")])
    assert [slot.count for slot in left] == [0, 1, 1]


OWNERS = (WEB, Owner("Deployment", "api", "shop"), Owner("ReplicaSet", "web-5d4f", "shop"))


@given(
    slots=st.lists(st.builds(Slot, st.sampled_from(OWNERS), count=st.integers(0, 3)), max_size=5),
    kinds=st.lists(
        st.tuples(
            st.sampled_from(["web-5d4f", "web-7c7c", "api-5d4f", "x-5d4f"]), st.sampled_from(["Running", "Failed"])
        ),
        max_size=12,
    ),
)
def test_so_many_slots_are_left_as_are_not_filled(slots: list[Slot], kinds: list[tuple[str, str]]) -> None:
    pods = [pod(number, owner, phase=phase) for number, (owner, phase) in enumerate(kinds)]
    filled = rules.slots_filled(slots, pods)
    left = rules.slots_left(slots, pods)
    assert [slot.count for slot in left] == [slot.count - len(there) for slot, there in filled]
    assert [(slot.owner, slot.requests) for slot in left] == [(slot.owner, slot.requests) for slot in slots]


def test_expectations_end_when_filled_released_or_over() -> None:
    until = (NOW + timedelta(seconds=1)).isoformat()
    spec = Spec(slots=(Slot(WEB, count=1),), expected_until=until)
    assert rules.expecting(spec, NOW, [])
    assert not rules.expecting(spec, NOW, [pod(1)])
    assert not rules.expecting(spec, NOW + timedelta(seconds=1), [])
    assert not rules.expecting(Spec(slots=spec.slots, released=True), NOW, [])
    assert not rules.expecting(Spec(), NOW, [])
    assert rules.expecting(Spec(slots=spec.slots), NOW, [])


def test_room_is_what_pods_and_slots_leave() -> None:
    promise = Promise(allocatable={"cpu": "2", "memory": "1Gi", "pods": "10", "weird": "?"})
    left = rules.room_left(promise, [pod(1), pod(2, phase="Succeeded")], [Slot(WEB, {"cpu": "300m"}, 2)])
    assert left == {"cpu": 900, "memory": 2**30, "pods": 7}
