"""Deciding uses the real fit check, takes no room, and changes none of its inputs."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.pinner.decisions.decide import decide
from moorage.pinner.decisions.steps import Bind
from moorage.pinner.decisions.sweeps import Sweeps
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.state.cluster import ClusterState
from moorage.reservations import Owner, Slot
from tests.examples import examples
from tests.unit.pinner import model
from tests.unit.pinner.model import NAME, NOW, reservation_of, spec_of
from tests.unit.pinner.node.test_room import machine, wanting
from tests.unit.pinner.state.test_cluster import Setting, on_node, pod

OWNERS = (Owner(kind="ReplicaSet", namespace="ns", name="web"), Owner(kind="ReplicaSet", namespace="ns", name="other"))


def everything(cluster: ClusterState) -> Any:
    """All that is known and could be changed by a decision."""
    snapshot, expected = cluster.snapshot, cluster.expected
    return repr(
        (
            cluster.claims,
            dict(cluster._admitted),
            dict(cluster._arrivals),
            cluster._waits,
            cluster._turn,
            cluster._made,
            cluster.failed,
            cluster.intents.of(NAME),
            sorted(expected._free.items()),
            sorted(expected._held.items()),
            expected._claims,
            sorted(snapshot._node_of.items()),
            {name: sorted(snapshot.pods_on(name)) for name in snapshot.nodes.slots},
            [row.tolist() for row in snapshot.resources.free],
            snapshot._journal,
            snapshot._marks,
        )
    )


_cpus = st.sampled_from(["500m", "1", "2", "5"])
_slots = st.lists(st.tuples(st.sampled_from(OWNERS), _cpus, st.integers(1, 3)), max_size=2)


@settings(max_examples=examples(300), deadline=None)
@given(
    cpus=st.lists(_cpus, min_size=1, max_size=5),
    devices=st.sets(st.integers(1, 5)),
    bound=st.sets(st.integers(1, 5), max_size=2),
    slots=_slots,
    ready=st.sampled_from([None, False, True]),
    turn=st.booleans(),
)
def test_deciding_changes_nothing_that_is_known(
    cpus: list[str],
    devices: set[int],
    bound: set[int],
    slots: list[tuple[Owner, str, int]],
    ready: bool | None,
    turn: bool,
) -> None:
    setting = Setting()
    cluster = setting.cluster
    expected = tuple(Slot(owner=owner, requests={"cpu": cpu}, count=count) for owner, cpu, count in slots)
    setting.caches["reservations"].put(reservation_of(spec_of(*range(1, len(cpus) + 1), slots=expected)), 20)
    if ready is not None:
        setting.nodes.put(machine("2") if ready else model.joined(model.placeholder(), ready=False), 21)
    for number, cpu in enumerate(cpus, 1):
        made = wanting(number, cpu=cpu) if number in devices else pod(number, cpu=cpu)
        setting.pods.put(on_node(made) if number in bound else made, 30 + number)
    if turn:
        cluster.take_turn("another", NOW)
    seen = cluster.observe(NAME, NOW, confirmed=False, sweeps=Sweeps(10, lambda: 0.0))
    before = everything(cluster)
    first, second = decide(seen, NodeRoom(cluster, NAME)), decide(seen, NodeRoom(cluster, NAME))
    assert first == second
    assert everything(cluster) == before
    binds = [step.pod for step in first.steps if isinstance(step, Bind)]
    for each in binds:  # whoever does the steps takes the room, and finds it as it was said to be
        assert setting.admit(int(each.metadata.name[1:])) == ""
    again = decide(cluster.observe(NAME, NOW, confirmed=False, sweeps=Sweeps(10, lambda: 0.0)), NodeRoom(cluster, NAME))
    # One that was refused may fit now, because another has filled a slot. Who is being bound is not bound twice.
    assert not {step.pod.metadata.uid for step in again.steps if isinstance(step, Bind)} & {
        p.metadata.uid for p in binds
    }
    cluster.close()


def test_a_pod_that_fills_a_slot_leaves_the_next_one_the_rest() -> None:
    setting = Setting()
    slots = (Slot(owner=OWNERS[0], requests={"cpu": "1500m"}, count=2),)
    setting.caches["reservations"].put(reservation_of(spec_of(1, 2, 3, slots=slots)), 20)
    pods = tuple(pod(number, cpu="1500m") for number in (1, 2, 3))
    for number, each in enumerate(pods, 30):
        setting.pods.put(each, number)
    found = NodeRoom(setting.cluster, NAME).admit(pods)
    assert [answer and answer.reason.name for answer in found.values()] == [None, None, "NODE_FULL"]  # type: ignore[union-attr]
    small = msgspec.structs.replace(pods[0], spec=pod(4, cpu="1").spec)
    assert NodeRoom(setting.cluster, NAME).admit((small,)) == {"u1": None}
