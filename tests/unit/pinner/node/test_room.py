"""The pods that fit a node together, by the real fit check: devices, future DaemonSet pods, nominations of others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moorage.objects import Node, Pod
from moorage.objects.base import ObjectMeta
from moorage.objects.pod import TopologySpreadConstraint, Volume
from moorage.objects.selectors import LabelSelector
from moorage.objects.storage import PersistentVolumeClaim, PersistentVolumeClaimSpec, StorageClass
from moorage.pinner.node.room import NodeRoom
from moorage.pinner.refusal import Nominable, Wait
from moorage.reservations import Slot
from moorage.reservations.model import Owner
from tests.unit.pinner import model
from tests.unit.pinner.model import DEVICE, NAME, OWNER, reservation_of, spec_of
from tests.unit.pinner.state.test_cluster import Setting, daemon_set, pod


def wanting(number: int, *, cpu: str = "1", devices: str = "1", priority: int | None = None) -> Pod:
    """A pod that wants devices."""
    made = pod(number, cpu=cpu)
    (container,) = made.spec.containers
    resources = msgspec.structs.replace(container.resources, requests={"cpu": cpu, DEVICE: devices})
    containers = (msgspec.structs.replace(container, resources=resources),)
    return msgspec.structs.replace(
        made, spec=msgspec.structs.replace(made.spec, containers=containers, priority=priority)
    )


def nominated(one: Pod, node: str = NAME) -> Pod:
    return msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, nominated_node_name=node))


def machine(devices: str = "") -> Node:
    """The machine, Ready, with four cores and so many devices."""
    made = model.joined(model.placeholder(), ready=True)
    allocatable = {**made.status.allocatable, **({DEVICE: devices} if devices else {})}
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, allocatable=allocatable))


@pytest.fixture
def setting() -> Setting:
    made = Setting()
    for number in range(1, 6):
        made.pods.put(wanting(number), number + 2)
    made.nodes.put(machine("4"), 10)
    return made


def answers(setting: Setting, *pods: Pod) -> list[str]:
    found = NodeRoom(setting.cluster, NAME).nominate(pods)
    said = (found[each.metadata.uid] for each in pods)
    return ["wait" if isinstance(each, Wait) else each.reason.name if each is not None else "" for each in said]


def test_what_wants_a_device_is_not_bound(setting: Setting) -> None:
    assert setting.admit(1) == "nominate"
    never = msgspec.structs.replace(wanting(1).spec, preemption_policy="Never")
    setting.pods.put(msgspec.structs.replace(wanting(1), spec=never), 20)
    assert setting.admit(1) == "SOFT_PIN_UNSUPPORTED"
    assert setting.cluster.claims == {}


def test_pods_fit_together_or_not_at_all_and_asking_takes_no_room(setting: Setting) -> None:
    pods = [wanting(number) for number in range(1, 6)]
    for _ in range(2):
        assert answers(setting, *pods) == ["", "", "", "", "NODE_FULL"]
    assert answers(setting, pods[4]) == [""]
    assert answers(setting, wanting(1, devices="3"), wanting(2, devices="2"), wanting(3)) == ["", "NODE_FULL", ""]


def test_the_scheduler_knows_no_host_of_a_placeholder_and_a_nomination_is_for_the_scheduler(setting: Setting) -> None:
    """A pod that is spread over hosts: the placeholder beside the machine is no host yet, although it is empty."""
    host = "kubernetes.io/hostname"
    labels = {host: NAME}
    named = machine("4")
    setting.nodes.put(
        msgspec.structs.replace(named, metadata=msgspec.structs.replace(named.metadata, labels=labels)), 20
    )
    other = model.reservation_of(spec_of())
    meta = msgspec.structs.replace(other.metadata, name="beside", uid="r-beside")
    setting.caches["reservations"].put(msgspec.structs.replace(other, metadata=meta), 21)
    bare = model.placeholder()
    meta = msgspec.structs.replace(bare.metadata, name="beside", uid="n-beside", annotations={})
    setting.nodes.put(msgspec.structs.replace(bare, metadata=meta), 22)
    selector = LabelSelector(match_labels={"app": "web"})
    spread = TopologySpreadConstraint(
        max_skew=1, topology_key=host, when_unsatisfiable="DoNotSchedule", label_selector=selector
    )
    pods = [_spread(wanting(number), spread) for number in range(1, 4)]
    assert answers(setting, *pods) == ["", "", ""]
    joined = msgspec.structs.replace(bare.metadata, name="beside", uid="n-beside", labels={host: "beside"})
    setting.nodes.put(msgspec.structs.replace(bare, metadata=joined), 23)
    assert answers(setting, *pods) == ["", "DOES_NOT_FIT", "DOES_NOT_FIT"]


def _spread(one: Pod, constraint: TopologySpreadConstraint) -> Pod:
    return msgspec.structs.replace(
        one,
        metadata=msgspec.structs.replace(one.metadata, labels={"app": "web"}),
        spec=msgspec.structs.replace(one.spec, topology_spread_constraints=(constraint,)),
    )


@pytest.mark.parametrize(("devices", "expected"), [("", "wait"), ("0", "wait"), ("1", "")])
def test_devices_are_waited_for_until_the_kubelet_has_some(setting: Setting, devices: str, expected: str) -> None:
    setting.nodes.put(machine(devices), 20)
    assert answers(setting, wanting(1)) == [expected]


def test_pods_to_come_of_daemon_sets_count(setting: Setting) -> None:
    setting.caches["daemon_sets"].put(daemon_set("3"), 20)
    assert answers(setting, wanting(1), wanting(2)) == ["", "NODE_FULL"]


@pytest.mark.parametrize(
    ("priority", "node", "expected"),
    [(None, NAME, "NODE_FULL"), (10, NAME, "NODE_FULL"), (-1, NAME, ""), (None, "other", "")],
    ids=["equal", "higher", "lower", "elsewhere"],
)
def test_nominations_of_others_count_as_the_scheduler_counts_them(
    setting: Setting, priority: int | None, node: str, expected: str
) -> None:
    setting.pods.put(nominated(wanting(77, devices="4", priority=priority), node), 20)
    assert answers(setting, wanting(1)) == [expected]


def test_a_pod_does_not_stand_in_its_own_way(setting: Setting) -> None:
    ours = nominated(wanting(1, devices="4"))
    setting.pods.put(ours, 20)
    assert answers(setting, ours) == [""]
    assert answers(setting, ours, wanting(2)) == ["", "NODE_FULL"]


def test_room_that_is_held_for_expected_pods_is_not_given_away(setting: Setting) -> None:
    owner = Owner(kind=OWNER.kind, namespace="ns", name="another")
    slots = (Slot(owner=owner, requests={"cpu": "3500m"}, count=1),)
    setting.caches["reservations"].put(reservation_of(spec_of(1, slots=slots)), 20)
    assert answers(setting, wanting(1)) == ["NODE_FULL"]


def _claiming(setting: Setting, mode: str | None) -> Pod:
    """A pod with an unbound claim of a class that binds its volumes like this."""
    storage_class = StorageClass(metadata=ObjectMeta(name="fast"), provisioner="csi.example", volume_binding_mode=mode)
    spec = PersistentVolumeClaimSpec(storage_class_name="fast")
    claim = PersistentVolumeClaim(metadata=ObjectMeta(name="data", namespace="ns"), spec=spec)
    setting.caches["storage_classes"].put(storage_class, 20)
    setting.caches["claims"].put(claim, 21)
    volume: Any = msgspec.convert({"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, Volume)
    made = pod(1)
    made = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, volumes=(volume,)))
    setting.pods.put(made, 22)
    return made


def test_an_unbound_volume_of_the_first_consumer_is_left_to_the_scheduler_on_that_node(setting: Setting) -> None:
    one = _claiming(setting, "WaitForFirstConsumer")
    assert isinstance(NodeRoom(setting.cluster, NAME).admit((one,))[one.metadata.uid], Nominable)
    assert answers(setting, one) == [""]


def test_a_volume_that_nobody_waits_with_must_be_bound_first(setting: Setting) -> None:
    one = _claiming(setting, "Immediate")
    assert setting.admit(1) == "DOES_NOT_FIT"
    assert answers(setting, one) == ["DOES_NOT_FIT"]
