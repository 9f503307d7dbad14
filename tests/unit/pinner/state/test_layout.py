"""After any damaging change, the snapshot answers like a new one from the same caches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.objects import CsiNode, KubeObject, Namespace, Node, ObjectMeta, OwnerReference, PersistentVolumeClaim, Pod
from moorage.ops.slices import at_once
from moorage.pinner.state.caches import Caches
from moorage.pinner.state.cluster import ClusterState
from moorage.scheduling import Fit, Snapshot
from moorage.scheduling.state import State
from tests.examples import examples
from tests.unit.cluster.told import Told
from tests.unit.pinner.model import NAME
from tests.unit.pinner.state.test_cluster import Setting, daemon_set, pod

HALF, DEEP = "half", "deep"
KINDS: dict[str, Callable[[ObjectMeta], KubeObject]] = {
    "pods": lambda meta: msgspec.structs.replace(
        pod(0, cpu="500m", node=NAME), metadata=msgspec.structs.replace(meta, namespace="ns")
    ),
    "nodes": lambda meta: Node(metadata=meta),
    "namespaces": lambda meta: Namespace(metadata=meta),
    "claims": lambda meta: PersistentVolumeClaim(metadata=msgspec.structs.replace(meta, namespace="ns")),
    "csi_nodes": lambda meta: CsiNode(metadata=meta),
    "daemon_sets": lambda meta: msgspec.structs.replace(
        daemon_set("1"), metadata=msgspec.structs.replace(meta, namespace="ns")
    ),
}
Step = tuple[str, int, bool | None]
steps = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 2), st.sampled_from([True, False, None])), max_size=12
)


@pytest.fixture(autouse=True)
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is marked is counted by halves, and then it raises; of some not even the names and the node can be."""
    apply, place = State.apply, State.place

    def half(self: Snapshot, thing: Any) -> None:
        apply(self, thing)
        if HALF in thing.metadata.labels or DEEP in thing.metadata.name:
            raise RuntimeError("poison")

    def half_placed(self: Snapshot, one: Pod, node: str, *, key: str | None = None) -> None:
        place(self, one, node, key=key)
        if DEEP in (key or ""):
            raise RuntimeError("poison")

    monkeypatch.setattr(State, "apply", half)
    monkeypatch.setattr(State, "place", half_placed)


def answers(cluster: ClusterState) -> dict[str, tuple[Fit, list[str]]]:
    """The verdicts, whatever order their findings came in."""
    asked = [pod(90, cpu="1"), pod(91, cpu="2"), pod(92, cpu="4")]
    verdicts = {f"{one.key} {name}": cluster.snapshot.verdict(one, name) for one in asked for name in (NAME, "o-0-1")}
    return {which: (verdict.fit, sorted(map(str, verdict.findings))) for which, verdict in verdicts.items()}


@settings(max_examples=examples(60), deadline=None)
@given(steps, st.booleans())
def test_a_spoilt_snapshot_is_built_anew_as_if_nothing_had_been(steps: list[Step], deep: bool) -> None:
    setting = Setting()
    for number in (1, 2):
        assert setting.admit(number) == ""
    setting.cluster.landed(pod(2))
    version = 100
    for kind, number, poisonous in steps:
        name = f"{'deep' if deep and number == 2 else 'o'}-{sorted(KINDS).index(kind)}-{number}"
        meta = ObjectMeta(name=name, uid=name, labels={HALF: "yes"} if poisonous else {})
        made = KINDS[kind](meta)
        cache = setting.caches[kind]
        for _ in range(1 if poisonous else 20):  # who failed over it a few times passes some states over
            version += 1
            if poisonous is not None:
                cache.put(msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata)), version)
        if poisonous is None and made.key in cache._objects:
            cache.drop(made.key, version)
    assert not setting.cluster._ended.is_set()
    found = answers(setting.cluster)
    fresh = ClusterState(Caches(**setting.caches), default_profile="generic", enqueue=lambda _: None)
    at_once(fresh.follow())
    for number in (1, 2):
        fresh.claim(pod(number), NAME)
    assert found == answers(fresh)
    setting.cluster.close()
    fresh.close()


@settings(max_examples=examples(60), deadline=None)
@given(steps, steps, st.integers(1, 9))
def test_what_happens_while_the_caches_are_taken_over_counts_as_if_it_had_been_before(
    before: list[Step], meanwhile: list[Step], pace: int
) -> None:
    caches = Setting().caches
    happen = _Happening(caches)
    for step in before:
        happen(step)
    slowly = ClusterState(Caches(**caches), default_profile="generic", enqueue=lambda _: None)
    taking_over = slowly.follow()
    for step in meanwhile:
        for _ in itertools.islice(taking_over, pace):
            pass
        happen(step)
    at_once(taking_over)
    fresh = ClusterState(Caches(**caches), default_profile="generic", enqueue=lambda _: None)
    at_once(fresh.follow())
    assert answers(slowly) == answers(fresh)
    assert slowly.snapshot.sizes()["pods"] == fresh.snapshot.sizes()["pods"]
    for cluster in (slowly, fresh):
        cluster.close()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_goes_at_any_moment_while_the_caches_are_taken_over_is_gone(kind: str) -> None:
    passed, over = 0, False
    while not over:
        caches = Setting().caches
        happen = _Happening(caches)
        for each in ("nodes", "daemon_sets", "pods"):
            happen((each, 1, True))
        happen((kind, 1, True))
        slowly = ClusterState(Caches(**caches), default_profile="generic", enqueue=lambda _: None)
        taking_over = slowly.follow()
        over = len(list(itertools.islice(taking_over, passed))) < passed
        passed += 1
        happen((kind, 1, None))
        at_once(taking_over)
        fresh = ClusterState(Caches(**caches), default_profile="generic", enqueue=lambda _: None)
        at_once(fresh.follow())
        assert answers(slowly) == answers(fresh)
        assert slowly.snapshot.sizes()["pods"] == fresh.snapshot.sizes()["pods"]


class _Happening:
    """Changes objects of the caches, none of which can be counted by halves only."""

    def __init__(self, caches: dict[str, Told]) -> None:
        self._caches, self._version = caches, 100

    def __call__(self, step: Step) -> None:
        kind, number, gone = step
        cache = self._caches[kind]
        self._version += 1
        made = KINDS[kind](ObjectMeta(name=f"o-{sorted(KINDS).index(kind)}-{number}", uid=f"{kind}-{number}"))
        if kind == "pods" and number:  # of a DaemonSet: the pod to come has come
            meta = msgspec.structs.replace(made.metadata, owner_references=(daemon_owner(number),))
            made = msgspec.structs.replace(made, metadata=meta)
        if gone is None and made.key in cache._objects:
            cache.drop(made.key, self._version)
        elif gone is not None:
            cache.put(made, self._version)


def daemon_owner(number: int) -> OwnerReference:
    name = f"o-{sorted(KINDS).index('daemon_sets')}-{number}"
    return OwnerReference("apps/v1", "DaemonSet", name, f"daemon_sets-{number}", controller=True)


def test_who_was_admitted_is_judged_again_when_a_doubt_arises_on_the_node() -> None:
    setting = Setting()
    assert setting.admit(1) == ""
    assert setting.cluster.still_room(pod(1))
    meta = ObjectMeta(name="o", uid="o", labels={HALF: "yes"})
    setting.caches["pods"].put(KINDS["pods"](meta), 200)
    assert not setting.cluster.still_room(pod(1))
    setting.cluster.release(pod(1))
    assert setting.admit(1) == "wait"
    setting.stirred.clear()
    setting.caches["pods"].drop("ns/o", 201)
    assert NAME in setting.stirred
    assert setting.admit(1) == ""


def test_a_daemon_set_that_cannot_be_read_is_in_doubt_where_its_pod_will_come_until_it_is_there() -> None:
    setting = Setting()
    meta = ObjectMeta(name="deep-agent", namespace="kube-system", uid="d")
    setting.caches["daemon_sets"].put(msgspec.structs.replace(daemon_set("1"), metadata=meta), 200)
    verdict = setting.cluster.snapshot.verdict(pod(1), NAME)
    assert "DaemonSet kube-system/deep-agent" in str(verdict)
    setting.caches["daemon_sets"].drop("kube-system/deep-agent", 201)
    assert setting.admit(1) == ""
