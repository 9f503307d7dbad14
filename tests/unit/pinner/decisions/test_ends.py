"""Pins that come to nothing: what counts, what does not, and how many there are before an owner is left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.kube.changes import Change, Kind
from moorage.objects import OwnerReference, Pod
from moorage.objects.base import Condition
from moorage.pinner.decisions import ends
from moorage.pinner.decisions.ends import Ends
from moorage.pinner.names import CLAIM_ANNOTATION, PIN_ANNOTATION
from moorage.protocol import ReasonCode
from tests.examples import examples
from tests.unit.pinner import model

BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIMIT = 3


def text(at: datetime) -> str:
    """As the API server writes times."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """A controller whose pods are pinned as soon as they may be, and whoever ends them."""

    def __init__(self, kind: str = "ReplicaSet", *, lag: float = 0.0) -> None:
        self.now = BEGIN
        self.kind, self.lag, self.revision, self.uid = kind, timedelta(seconds=lag), "1", "uid-web"
        self.ends = Ends(LIMIT, lambda: self.now + self.lag)
        self.told: list[str] = []
        self.ends.on_capped = lambda _, why: self.told.append(why.text)
        self.pods: dict[str, Pod] = {}
        self.pinned: list[datetime] = []
        self._number = 0

    # --- what happens ---

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def create(self, name: str = "") -> str:
        """The controller makes a pod, which is pinned at once if that is not refused."""
        made = self.create_unpinned(name)
        if self.ends.refuse(self.pods[made], shown=True) is None:
            self.pin(made)
        return made

    def create_unpinned(self, name: str = "") -> str:
        """The controller makes a pod."""
        self._number += 1
        owner = OwnerReference("apps/v1", self.kind, "web", self.uid, controller=True)
        made = model.pod(self._number)
        meta = msgspec.structs.replace(
            made.metadata,
            name=name or made.metadata.name,
            owner_references=(owner,),
            creation_timestamp=text(self.now),
            labels={ends.REVISION: self.revision} if self.kind == "StatefulSet" else {},
        )
        made = msgspec.structs.replace(made, metadata=meta)
        self._put(made)
        return made.metadata.name

    def pin(self, name: str) -> None:
        self.pinned.append(self.now)
        bound = (Condition(type="PodScheduled", status="True", last_transition_time=text(self.now)),)
        self._change(name, node_name="n", annotations={PIN_ANNOTATION: "i"}, conditions=bound)

    def is_pinned(self, name: str) -> bool:
        return bool(self.pods[name].spec.node_name)

    def delete(self, name: str, grace: int = 30, **status: Any) -> None:
        over = {"deletion_timestamp": text(self.now + timedelta(seconds=grace)), "deletion_grace_period_seconds": grace}
        self._change(name, **over, **status)

    def drop(self, name: str) -> None:
        gone = self.pods.pop(name)
        self.ends.follow(Change(Kind.DELETED, gone, None))

    def end(self, name: str, how: str) -> None:
        """Somebody ends a pod, and its controller makes another one."""
        successor = name if self.kind == "StatefulSet" else ""
        if how == "the kubelet":
            self._change(name, phase="Failed", reason="OutOfcpu")
        elif how == "a person, at once":
            pass  # without grace the watch shows nothing but the deletion
        else:
            target = Condition(type="DisruptionTarget", status="True", reason=how)
            self.delete(name, conditions=(*self.pods[name].status.conditions, target))
        early = self.kind != "StatefulSet" and how != "a person, at once"
        if early:
            self.create(successor)
        self.drop(name)
        if not early:
            self.create(successor)

    # --- the watch ---

    def _put(self, pod: Pod) -> None:
        self.pods[pod.metadata.name] = pod
        self.ends.follow(Change(Kind.ADDED, None, pod))

    def _change(self, name: str, **fields: Any) -> None:
        old = self.pods[name]
        parts = {}
        for part in ("metadata", "spec", "status"):
            struct = getattr(old, part)
            mine = {key: value for key, value in fields.items() if key in struct.__struct_fields__}
            parts[part] = msgspec.structs.replace(struct, **mine)
        new = self.pods[name] = msgspec.structs.replace(old, **parts)
        self.ends.follow(Change(Kind.MODIFIED, old, new))

    def refused(self) -> bool:
        return self.ends.refuse(self.pods[next(iter(self.pods))], shown=True) is not None


ENDERS = (
    "the kubelet",
    "EvictionByEvictionAPI",
    "DeletionByTaintManager",
    "PreemptionByScheduler",
    "DeletionByPodGC",
    "",
    "a person, at once",
)


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "ReplicationController"])
@pytest.mark.parametrize("lag", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("how", ENDERS)
def test_whoever_ends_the_pins_of_an_owner_it_is_the_third_time_that_is_the_last(
    how: str, lag: float, kind: str
) -> None:
    world = World(kind, lag=lag)
    name = world.create("web-0")
    for _ in range(10):
        world.wait(7)
        world.end(name, how)
        (name,) = world.pods
    assert len(world.pinned) == LIMIT
    why = world.ends.refuse(world.pods[name], shown=True)
    assert why is not None
    assert why.reason is ReasonCode.OWNER_CAPPED
    assert f"pinned pods of {kind} ns/web ended 3 times within 10 minutes of their pins" in why.text
    assert world.told == [why.text], "once"
    assert how in why.text or how in ("the kubelet", "a person, at once")


def test_after_an_hour_it_begins_anew() -> None:
    world = World()
    name = world.create()
    for _ in range(3):
        world.wait(7)
        world.end(name, "")
        (name,) = world.pods
    for key in (world.ends.capped, world.ends.capped_owners):
        assert [why.reason for why in key.values()] == [ReasonCode.OWNER_CAPPED]
    assert list(world.ends.capped_owners) == ["ns/ReplicaSet/web"]
    assert world.ends.capped_until == {"ns/ReplicaSet/web": world.now + ends.LEFT_ALONE}
    world.wait(3590)
    assert world.refused()
    world.wait(11)
    assert not world.refused()
    assert (world.ends.capped, world.ends.capped_owners, world.ends.capped_until) == ({}, {}, {})
    world.pin(name)
    world.end(name, "")
    assert not world.refused(), "it is the first time"


def test_ten_pods_of_one_machine_that_fails_are_one_time() -> None:
    world = World()
    names = [world.create() for _ in range(10)]
    world.wait(300)
    for name in names:
        world.end(name, "DeletionByTaintManager")
    assert len(world.pinned) == 20, "those that came in their place are pinned elsewhere"
    assert not world.refused()


def test_ends_a_little_apart_are_one_time_as_long_as_the_pods_were_pinned_before() -> None:
    """As of a machine that is smaller than it was promised to be: its kubelet refuses one after the other."""
    world = World()
    names = [world.create() for _ in range(6)]
    for name in names:
        world.wait(2)
        world.ends.follow(Change(Kind.MODIFIED, world.pods[name], failed(world.pods[name])))
        world.drop(name)
        world.create_unpinned()
    assert not world.refused()


def failed(pod: Pod) -> Pod:
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, phase="Failed", reason="OutOfcpu"))


def rollout(world: World, names: list[str]) -> None:
    """The Deployment's pods of an old revision go, and those of a new one come; a StatefulSet's keep their names."""
    world.revision += "+"
    if world.kind != "StatefulSet":
        world.uid = f"{world.uid}+"
    for name in names:
        world.wait(1)
        world.delete(name)
        if world.kind == "StatefulSet":
            world.drop(name)
            world.create(name)
        else:
            world.create()
            world.drop(name)


def scale_down(world: World, names: list[str]) -> None:
    for name in names[1:]:
        world.delete(name)
        world.drop(name)
    world.wait(31)


def scale_down_and_up_again(world: World, names: list[str]) -> None:
    """As a nervous autoscaler does, after its own pause."""
    scale_down(world, names)
    for _ in names[1:]:
        world.create("web-1" if world.kind == "StatefulSet" else "")


def complete(world: World, names: list[str]) -> None:
    for name in names:
        world.wait(5)
        world._change(name, phase="Succeeded")
        world.drop(name)
        world.create(name if world.kind == "StatefulSet" else "")


def live_long(world: World, names: list[str]) -> None:
    for name in names:
        world.wait(601)
        world.end(name, "EvictionByEvictionAPI")


HARMLESS: tuple[Callable[[World, list[str]], None], ...] = (
    rollout,
    scale_down,
    scale_down_and_up_again,
    complete,
    live_long,
)


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet"])
@pytest.mark.parametrize("deed", HARMLESS)
def test_what_an_owner_wants_itself_does_not_count(deed: Callable[[World, list[str]], None], kind: str) -> None:
    world = World(kind)
    for _ in range(4):
        names = list(world.pods) or [world.create(f"web-{number}") for number in range(5)]
        deed(world, names)
        world.wait(5)
    world.create("web-9")
    assert not world.refused()
    assert world.told == []


def test_a_pod_that_was_pinned_as_it_was_created_counts_from_then_on() -> None:
    """The kubelet sets its condition PodScheduled much later."""
    world = World()
    for _ in range(3):
        name = world.create()
        world._change(name, annotations={PIN_ANNOTATION: "i", CLAIM_ANNOTATION: "c"})
        world.wait(700)
        scheduled = (Condition(type="PodScheduled", status="True", last_transition_time=text(world.now)),)
        world._change(name, conditions=scheduled)
        world.end(name, "")
    assert not world.refused()


def test_a_pod_that_the_scheduler_has_placed_as_it_was_nominated_counts_too() -> None:
    world = World()
    name = world.create()
    for _ in range(3):
        world._change(name, annotations={})
        world.ends.pinned(world.pods[name])
        world.wait(5)
        world.end(name, "PreemptionByScheduler")
        (name,) = world.pods
    assert world.refused()


@pytest.mark.parametrize("shown", [False, True])
def test_a_pod_that_is_there_does_not_take_the_place_of_one_that_ends_afterwards(shown: bool) -> None:
    """Its own predecessor has been counted; one that is only being created may be the successor of the last."""
    world = World()
    name = world.create()
    for _ in range(LIMIT - 1):
        world.wait(5)
        world.end(name, "the kubelet")
        (name,) = world.pods
    waiting = world.create_unpinned()
    world.wait(5)
    world.ends.follow(Change(Kind.MODIFIED, world.pods[name], failed(world.pods[name])))
    refusal = world.ends.refuse(world.pods[waiting], shown=shown)
    assert (refusal is None) == shown, "the watch tells of the failure late: the pod may have come after it"
    assert world.told == []
    world.create_unpinned()
    assert len(world.told) == 1, "the successor has come"
    assert world.ends.refuse(world.pods[waiting], shown=True) is not None


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController", "StatefulSet"])
@pytest.mark.parametrize("grace", [10, 45, 120])
@pytest.mark.parametrize("busy", [False, True])
def test_a_pod_whose_quota_must_be_free_first_counts_when_it_is_replaced_at_last(
    busy: bool, grace: int, kind: str
) -> None:
    """Until it is gone no other may be created; meanwhile others end, and what is of no use is forgotten."""
    world = World(kind)
    name = world.create("web-0")
    for number in range(10):
        world.delete(name, grace)
        world.wait(grace + 1)
        if busy:
            elsewhere(world, number)
        world.drop(name)
        world.wait(2)
        name = world.create("web-0" if kind == "StatefulSet" else "")
    assert len(world.pinned) - (10 if busy else 0) == LIMIT
    assert len(world.told) == 1


def elsewhere(world: World, number: int) -> None:
    """A pinned pod of another owner ends."""
    uid, world.uid = world.uid, f"uid-other-{number}"
    world.delete(other := world.create(f"other-{number}"))
    world.drop(other)
    world.uid = uid


def test_a_pod_that_comes_while_one_takes_its_time_to_go_is_a_scale_up() -> None:
    world = World()
    for _ in range(5):
        name = world.create()
        world.wait(5)
        world.delete(name, 90)
        world.wait(60)
        world.create()
        world.wait(31)
        world.drop(name)
        world.wait(31)
    assert not world.refused()


def test_pods_that_nobody_pinned_do_not_count() -> None:
    world = World()
    for _ in range(10):
        name = world.create_unpinned()
        world.delete(name)
        world.create_unpinned()
        world.drop(name)
    assert not world.refused()


def test_an_owner_of_another_namespace_that_calls_itself_the_same_counts_by_itself() -> None:
    world = World()
    name = world.create()
    meta = msgspec.structs.replace(world.pods[name].metadata, namespace="elsewhere")
    for _ in range(3):
        world.wait(5)
        world.end(name, "")
        (name,) = world.pods
    assert world.refused()
    assert world.ends.refuse(msgspec.structs.replace(world.pods[name], metadata=meta), shown=True) is None


def test_owners_of_which_nothing_counts_any_more_are_forgotten() -> None:
    world = World()
    for number in range(50):
        world.uid = f"uid-{number}"
        world.delete(name := world.create())
        world.drop(name)
    world.wait(700)
    world.uid = "uid-last"
    world.delete(name := world.create())
    assert len(world.ends._owners) == 1
    assert len(world.ends._pins) == 1


# --- any sequence ---

DEEDS = st.lists(
    st.tuples(st.sampled_from((0.0, 0.3, 1.0, 5.0, 30.0, 200.0)), st.sampled_from(ENDERS), st.integers(0, 99)),
    min_size=20,
    max_size=120,
)


@settings(max_examples=examples(120))
@given(
    deeds=DEEDS,
    replicas=st.integers(1, 6),
    kind=st.sampled_from(["ReplicaSet", "StatefulSet"]),
    lag=st.sampled_from([0.0, 1.0]),
)
def test_never_more_pins_than_three_of_each_replica_in_any_window(
    deeds: list[tuple[float, str, int]], replicas: int, kind: str, lag: float
) -> None:
    """Within ten minutes; and none in the hour after the third time."""
    world = World(kind, lag=lag)
    for number in range(replicas):
        world.create(f"web-{number}")
    capped: datetime | None = None
    for wait, how, which in deeds:
        world.wait(wait)
        alive = [name for name in world.pods if world.is_pinned(name)]
        if not alive:
            world.wait(600)
            continue
        before = len(world.pinned)
        world.end(alive[which % len(alive)], how)
        if capped is not None and world.now < capped + ends.LEFT_ALONE:
            assert len(world.pinned) == before, "it is left alone"
        if world.told and capped is None:
            capped = world.now
    for at in world.pinned:
        within = [each for each in world.pinned if at <= each < at + ends.SOON]
        assert len(within) <= (LIMIT + 1) * replicas
