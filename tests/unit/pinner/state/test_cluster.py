"""The pinner's state: pods being bound, and future DaemonSet pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from moorage.cluster import daemons
from moorage.cluster.daemons import DaemonSet, DaemonSetSpec
from moorage.objects import (
    Container,
    Node,
    ObjectMeta,
    Pod,
    PodSpec,
    PodTemplate,
    ResourceRequirements,
    Taint,
    Toleration,
)
from moorage.objects.pod import PodOs
from moorage.ops.slices import at_once
from moorage.pinner.decisions.ends import Ends
from moorage.pinner.decisions.sweeps import Sweeps
from moorage.pinner.names import PIN_ANNOTATION
from moorage.pinner.node import slots
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.refusal import Nominable, Refusal, Wait
from moorage.pinner.state.caches import Caches
from moorage.pinner.state.cluster import ClusterState
from moorage.reservations import Promise
from tests.unit.cluster.told import told
from tests.unit.pinner import model
from tests.unit.pinner.model import NAME, OWNER, placeholder, reservation_of, spec_of


def pod(number: int, *, cpu: str = "1", node: str = "", uid: str = "") -> Pod:
    needs = ResourceRequirements(requests={"cpu": cpu})
    meta = ObjectMeta(name=f"p{number}", namespace="ns", uid=uid or f"u{number}", owner_references=(OWNER,))
    return Pod(metadata=meta, spec=PodSpec(node_name=node, containers=(Container(name="main", resources=needs),)))


def on_node(one: Pod) -> Pod:
    return msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, node_name=NAME))


class Setting:
    """A cluster's state over caches from the test: one placeholder of four cores, pods 1 to 5 pinned."""

    def __init__(self) -> None:
        self.caches = told(Caches.over(cast("Any", None)))
        self.stirred: list[str] = []
        self.cluster = ClusterState(Caches(**self.caches), default_profile="generic", enqueue=self.stirred.append)
        at_once(self.cluster.follow())
        self.nodes, self.pods = self.caches["nodes"], self.caches["pods"]
        self.caches["reservations"].put(reservation_of(spec_of(1, 2, 3, 4, 5)), 1)
        self.nodes.put(placeholder(), 2)
        for number in range(1, 6):
            self.pods.put(pod(number), number + 2)

    def admit(self, number: int) -> str:
        """Request room for a pod, and take it. Returns the reason if there is none, else an empty text."""
        asked = self.cluster.pods.get(f"ns/p{number}") or pod(number)
        refusal = NodeRoom(self.cluster, NAME).admit((asked,))[asked.metadata.uid]
        if refusal is None:
            self.cluster.admit(asked, NAME)
        if isinstance(refusal, Wait | Nominable):
            return "wait" if isinstance(refusal, Wait) else "nominate"
        return refusal.reason.name if refusal is not None else ""

    def pods_here(self) -> set[str]:
        return {each.metadata.name for each in self.cluster.pods_on(NAME)}


@pytest.fixture
def setting() -> Setting:
    return Setting()


def for_windows(number: int) -> Pod:
    made = pod(number)
    return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, os=PodOs("windows")))


def test_a_pod_for_another_system_is_neither_bound_nor_let_into_a_slot(setting: Setting) -> None:
    setting.pods.put(for_windows(1), 20)
    assert [setting.admit(number) for number in (1, 2)] == ["DOES_NOT_FIT", ""]
    promise = msgspec.structs.replace(model.PROMISE, labels={"kubernetes.io/os": "windows"})
    found = slots.choose(setting.cluster, for_windows(1), (NAME,), model.NOW)
    assert isinstance(found, Refusal)
    assert "PodOSNotSupported" in found.text
    setting.caches["reservations"].put(reservation_of(spec_of(1, 2, 3, promise=promise)), 21)
    assert [setting.admit(number) for number in (1, 3)] == ["", ""]
    assert isinstance(slots.choose(setting.cluster, for_windows(4), (NAME,), model.NOW), slots.Place)


# --- claims ---


def test_room_is_counted_from_admission_on_and_given_back(setting: Setting) -> None:
    assert [setting.admit(number) for number in range(1, 6)] == ["", "", "", "", "NODE_FULL"]
    setting.cluster.release(pod(1))
    assert setting.admit(5) == ""


def test_an_older_state_of_a_pod_being_bound_does_not_take_it_off_its_node(setting: Setting) -> None:
    for number in range(1, 5):
        assert setting.admit(number) == ""
    setting.pods.put(pod(1), 20)  # the scheduler has written a condition, and we have bound it meanwhile
    assert setting.admit(5) == "NODE_FULL"
    setting.cluster.landed(pod(1))
    assert setting.pods_here() == {"p1"}
    bound = setting.cluster.pod("ns/p1")
    assert bound is not None
    assert bound.spec.node_name == NAME
    setting.pods.put(on_node(pod(1)), 21)
    assert setting.pods_here() == {"p1"}
    assert setting.cluster.claims.keys() == {"ns/p2", "ns/p3", "ns/p4"}
    assert setting.admit(5) == "NODE_FULL"


def test_a_pod_that_is_gone_frees_its_room_and_a_successor_of_its_name_keeps_its_own(setting: Setting) -> None:
    for number in range(1, 5):
        setting.admit(number)
    setting.pods.drop("ns/p1", 20)
    assert setting.admit(5) == ""
    successor = pod(2, uid="new")
    setting.cluster.release(pod(2))
    setting.cluster.claim(successor, NAME)
    setting.pods.drop("ns/p2", 21)  # the old one
    assert setting.cluster.claims["ns/p2"].uid == "new"


def test_a_stranger_on_the_node_makes_all_admitted_pods_be_counted_again(setting: Setting) -> None:
    setting.admit(1)
    assert setting.cluster.still_room(pod(1))
    setting.pods.put(pod(9, node=NAME), 20)
    assert not setting.cluster.still_room(pod(1))
    setting.cluster.release(pod(1))
    assert setting.admit(1) == ""
    setting.cluster.landed(pod(1))
    setting.pods.put(on_node(pod(1)), 21)
    setting.admit(2)
    assert setting.cluster.still_room(pod(2))  # our own pod is no stranger
    real = model.joined(placeholder(), ready=False)
    less = msgspec.structs.replace(real.status, allocatable={"cpu": "1", "memory": "1Gi", "pods": "9"})
    setting.nodes.put(msgspec.structs.replace(real, status=less), 22)
    assert not setting.cluster.still_room(pod(2))


def test_nodes_that_have_gone_leave_nothing_behind(setting: Setting) -> None:
    for number in range(3):
        name = f"gone-{number}"
        node = placeholder(ours=False)
        meta = msgspec.structs.replace(node.metadata, name=name, uid=name)
        setting.nodes.put(msgspec.structs.replace(node, metadata=meta), 100 + 2 * number)
        setting.cluster.claim(pod(1), name)
        if number % 2:
            setting.cluster.release(pod(1))
        setting.nodes.drop(name, 101 + 2 * number)
        setting.cluster.release(pod(1))
    assert [each for each in setting.cluster._arrivals if each.startswith("gone")] == []
    assert [each for each in setting.cluster._admitted if each.startswith("gone")] == []


def test_a_pod_is_admitted_to_one_node_at_a_time(setting: Setting) -> None:
    assert setting.admit(1) == ""
    assert setting.admit(1) == "POD_BOUND_ELSEWHERE"


def test_promised_taints_count_and_those_of_starting_up_do_not(setting: Setting) -> None:
    dedicated, starting = Taint("a", "b", "NoSchedule"), Taint("s", "", "NoSchedule")
    promise = Promise(
        allocatable=model.PROMISE.allocatable,
        labels=model.PROMISE.labels,
        taints=(dedicated,),
        startup_taints=(starting,),
    )
    setting.caches["reservations"].put(reservation_of(spec_of(1, 2, promise=promise)), 30)
    assert setting.admit(1) == "DOES_NOT_FIT"
    setting.caches["reservations"].put(
        reservation_of(spec_of(1, promise=Promise(allocatable=promise.allocatable, startup_taints=(starting,)))), 31
    )
    node = placeholder()
    taints = (*node.spec.taints, starting, Taint("node.kubernetes.io/not-ready", "", "NoSchedule"))
    setting.nodes.put(msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, taints=taints)), 32)
    assert setting.admit(1) == ""
    cordoned = msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, unschedulable=True))
    setting.nodes.put(cordoned, 33)
    assert setting.admit(2) == "DOES_NOT_FIT"


# --- DaemonSets ---


def daemon_set(cpu: str, version: int = 1, **spec: Any) -> DaemonSet:
    container = Container(name="main", resources=ResourceRequirements(requests={"cpu": cpu}))
    template = PodTemplate(metadata=ObjectMeta(labels={"app": "agent"}), spec=PodSpec(containers=(container,), **spec))
    return DaemonSet(
        metadata=ObjectMeta(name="agent", namespace="kube-system", uid="d", resource_version=str(version)),
        spec=DaemonSetSpec(template=template),
    )


def daemon_pod_on(node: str) -> Pod:
    made = daemons.daemon_pod(daemon_set("2"))
    meta = msgspec.structs.replace(made.metadata, name="agent-x", uid="dx")
    return msgspec.structs.replace(made, metadata=meta, spec=msgspec.structs.replace(made.spec, node_name=node))


def test_a_daemon_sets_pod_takes_its_room_before_and_after_it_comes_and_once(setting: Setting) -> None:
    sets = setting.caches["daemon_sets"]
    sets.put(daemon_set("2"), 40)
    assert [setting.admit(n) for n in (1, 2, 3)] == ["", "", "NODE_FULL"]
    setting.pods.put(daemon_pod_on(NAME), 41)
    assert setting.admit(3) == "NODE_FULL"
    setting.pods.drop("kube-system/agent-x", 42)
    assert setting.admit(3) == "NODE_FULL"
    sets.put(daemon_set("1"), 43)
    assert setting.admit(3) == ""
    sets.drop("kube-system/agent", 44)
    assert setting.admit(4) == ""


@pytest.mark.parametrize(
    ("spec", "comes"),
    [
        ({}, True),
        ({"node_selector": {"pool": "a"}}, True),
        ({"node_selector": {"pool": "b"}}, False),
    ],
)
def test_only_daemon_sets_that_want_the_node_take_room(setting: Setting, spec: Any, comes: bool) -> None:
    setting.caches["daemon_sets"].put(daemon_set("4", **spec), 40)
    assert setting.admit(1) == ("NODE_FULL" if comes else "")


def test_a_daemon_set_that_does_not_tolerate_the_promise_stays_away(setting: Setting) -> None:
    taint = Taint("a", "b", "NoExecute")
    promise = Promise(allocatable=model.PROMISE.allocatable, labels=model.PROMISE.labels, taints=(taint,))
    setting.caches["reservations"].put(reservation_of(spec_of(1, promise=promise)), 30)
    tolerant = msgspec.structs.replace(
        pod(1), spec=msgspec.structs.replace(pod(1).spec, tolerations=(Toleration(operator="Exists"),))
    )
    setting.pods.put(tolerant, 31)
    setting.caches["daemon_sets"].put(daemon_set("4"), 40)
    assert setting.admit(1) == ""
    setting.cluster.release(tolerant)
    setting.caches["daemon_sets"].put(daemon_set("4", tolerations=(Toleration(key="a", operator="Exists"),)), 41)
    assert setting.admit(1) == "NODE_FULL"


# --- what stirs, and what is observed ---


def test_only_what_matters_to_a_reservation_stirs_its_node(setting: Setting) -> None:
    setting.stirred.clear()
    setting.pods.put(pod(77), 50)
    setting.nodes.put(Node(metadata=ObjectMeta(name="other", uid="o")), 51)
    assert setting.stirred == []
    setting.pods.put(pod(1), 52)
    setting.pods.put(pod(88, node=NAME), 53)
    setting.nodes.put(placeholder(), 54)
    assert setting.stirred == [NAME] * 3
    setting.caches["reservations"].put(reservation_of(spec_of(1), is_open=False), 55)
    setting.stirred.clear()
    setting.pods.put(pod(88, node=NAME), 56)
    assert setting.stirred == []
    failed = msgspec.structs.replace(pod(88, node=NAME), status=msgspec.structs.replace(pod(1).status, phase="Failed"))
    setting.pods.put(failed, 57)
    assert setting.stirred == [NAME]


def test_an_observation_says_whether_a_placeholder_was_made_even_after_it_is_gone(setting: Setting) -> None:
    sweeps = Sweeps(3, lambda: 0.0)
    seen = setting.cluster.observe(NAME, model.NOW, confirmed=False, sweeps=sweeps)
    assert (seen.is_ours, seen.made) == (True, True)
    assert set(seen.pinned) == {"u1", "u2", "u3", "u4", "u5"}
    assert seen.sweeps_left == {}
    for number in range(3):
        sweeps.swept(pod(number))
    seen = setting.cluster.observe(NAME, model.NOW, confirmed=False, sweeps=sweeps)
    assert seen.sweeps_left == {"uid-web": 0}
    setting.nodes.drop(NAME, 60)
    gone = setting.cluster.observe(NAME, model.NOW, confirmed=False, sweeps=sweeps)
    assert (gone.node, gone.made) == (None, True)
    setting.caches["reservations"].drop(NAME, 61)
    assert setting.cluster.observe(NAME, model.NOW, confirmed=False, sweeps=sweeps).reservation is None


def test_sweeps_are_counted_per_controller_and_forgotten_after_an_hour() -> None:
    now = [0.0]
    sweeps = Sweeps(2, lambda: now[0])
    assert sweeps.left() == {}
    sweeps.swept(pod(1))
    now[0] = 5.0
    sweeps.swept(pod(2))
    assert sweeps.left() == {"uid-web": 0}
    now[0] = 3601.0
    assert sweeps.left() == {"uid-web": 1}
    now[0] = 3606.0
    assert sweeps.left() == {}


# --- owners whose pins come to nothing ---


def test_only_a_pod_that_the_watch_has_not_shown_may_be_in_the_place_of_one_that_has_just_ended() -> None:
    caches = told(Caches.over(cast("Any", None)))
    ends = Ends(1, lambda: datetime(2026, 1, 31, 12, tzinfo=UTC))
    caches["pods"].subscribe(ends.follow)
    cluster = ClusterState(Caches(**caches), default_profile="generic", enqueue=lambda _: None, ends=ends)
    at_once(cluster.follow())
    pinned = on_node(pod(1))
    marked = msgspec.structs.replace(pinned.metadata, annotations={PIN_ANNOTATION: "i"})
    pinned = msgspec.structs.replace(pinned, metadata=marked)
    caches["pods"].put(pinned, 1)
    caches["pods"].put(pod(2), 2)
    failed = msgspec.structs.replace(pinned.status, phase="Failed", reason="OutOfcpu")
    caches["pods"].put(msgspec.structs.replace(pinned, status=failed), 3)
    assert cluster.refuse_owner(pod(2)) is None
    assert cluster.refuse_owner(pod(2, uid="another")) is not None, "of the same name"
    assert cluster.refuse_owner(pod(3)) is not None
