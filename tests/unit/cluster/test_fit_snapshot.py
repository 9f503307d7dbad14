"""The snapshot for the fit check as a service feeds it that knows of no promises, and of one that does."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from moorage.cluster.caches import FitCaches, Latest
from moorage.cluster.daemons import DaemonSet, DaemonSetSpec
from moorage.cluster.fit_snapshot import FitSnapshot
from moorage.objects import (
    Container,
    KubeObject,
    Node,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodTemplate,
    ResourceRequirements,
)
from moorage.objects.pod import ClaimSource, Volume
from moorage.objects.storage import (
    Allocatable,
    CsiNode,
    CsiNodeDriver,
    CsiNodeSpec,
    CsiVolume,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
)
from moorage.scheduling import Fit
from tests.unit.cluster.told import Told, fit_caches

PROMISED = {"promised": "yes"}


def spec(cpu: str, node: str = "") -> PodSpec:
    needs = ResourceRequirements(requests={"cpu": cpu})
    return PodSpec(node_name=node, containers=(Container(name="main", resources=needs),))


def pod(name: str, cpu: str, node: str = "") -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=name), spec=spec(cpu, node))


def as_promised(_name: str, node: Node) -> Node:
    return msgspec.structs.replace(node, metadata=msgspec.structs.replace(node.metadata, labels=PROMISED))


def put(caches: FitCaches, *objects: KubeObject) -> None:
    for version, each in enumerate(objects, 1):
        cache = next(cache for cache in caches.all if cache.resource.type is type(each))
        cast("Told", cache).put(each, version)


@pytest.fixture
def caches() -> FitCaches:
    """One node of four cores with a pod of one, and a DaemonSet whose pod of two has not come."""
    found = fit_caches()
    offered = NodeStatus(allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"})
    template = PodTemplate(spec=spec("2"))
    put(
        found,
        Node(metadata=ObjectMeta(name="n", uid="n"), status=offered),
        pod("a", "1", node="n"),
        DaemonSet(metadata=ObjectMeta(name="agent", namespace="ns", uid="d"), spec=DaemonSetSpec(template=template)),
    )
    return found


@pytest.mark.parametrize(("promise", "room"), [(lambda *_: None, "3"), (as_promised, "1")])
def test_daemon_sets_pods_to_come_take_room_where_something_is_promised(
    caches: FitCaches, promise: Any, room: str
) -> None:
    layout = FitSnapshot(caches, Latest(caches.nodes), promise, lambda: (), lambda _: False)
    for each in caches.pods:
        layout.snapshot.apply(each)
    layout.place_node("n")
    assert layout.snapshot.verdict(pod("b", room), "n").fit is Fit.YES
    assert layout.snapshot.verdict(pod("b", f"{room}001m"), "n").fit is Fit.NO


def test_a_node_offers_something_else_when_its_promise_changes_and_nothing_when_there_is_none(
    caches: FitCaches,
) -> None:
    promised = [True]
    layout = FitSnapshot(
        caches,
        Latest(caches.nodes),
        lambda name, node: as_promised(name, node) if promised[0] else None,
        lambda: (),
        lambda _: False,
    )
    assert layout.place_node("n")
    assert not layout.place_node("n")
    selecting = msgspec.structs.replace(pod("b", "1"), spec=msgspec.structs.replace(spec("1"), node_selector=PROMISED))
    assert layout.snapshot.verdict(selecting, "n").fit is Fit.YES
    promised[0] = False
    assert not layout.place_node("n")
    assert layout.snapshot.verdict(selecting, "n").fit is Fit.NO


# --- volumes that a promised node attaches ---

DRIVER = "ebs.csi.aws.com"


def with_volumes(count: str, *, promises: list[bool]) -> Any:
    def as_promised(_name: str, node: Node) -> Node | None:
        offered = {**node.status.allocatable, f"attachable-volumes-csi-{DRIVER}": count}
        status = msgspec.structs.replace(node.status, allocatable=offered)
        return msgspec.structs.replace(node, status=status) if promises[0] else None

    return as_promised


def volumes(number: int) -> tuple[PersistentVolume, PersistentVolumeClaim, Pod]:
    name = f"v{number}"
    spec_ = PersistentVolumeSpec(csi=CsiVolume(driver=DRIVER, volume_handle=name))
    claim = PersistentVolumeClaimSpec(volume_name=name)
    meta = ObjectMeta(name=name, namespace="ns", uid=name)
    bound = msgspec.structs.replace(meta, annotations={"pv.kubernetes.io/bind-completed": "yes"})
    using = PodSpec(volumes=(Volume(name="data", persistent_volume_claim=ClaimSource(claim_name=name)),))
    return (
        PersistentVolume(metadata=ObjectMeta(name=name, uid=name), spec=spec_),
        PersistentVolumeClaim(metadata=bound, spec=claim),
        Pod(metadata=meta, spec=using),
    )


def csi_node(count: int) -> CsiNode:
    driver = CsiNodeDriver(name=DRIVER, node_id="i-1", allocatable=Allocatable(count=count))
    return CsiNode(metadata=ObjectMeta(name="n", uid="c"), spec=CsiNodeSpec(drivers=(driver,)))


class Volumes:
    """A promised node that attaches two volumes, and five pods with a volume each."""

    def __init__(self, caches: FitCaches) -> None:
        self.caches, self.promises = caches, [True]
        found = [volumes(number) for number in range(5)]
        self.pods = [pod for *_, pod in found]
        put(caches, *(thing for volume, claim, _ in found for thing in (volume, claim)))
        self.csi_nodes = cast("Told", next(each for each in caches.all if each.resource.type is CsiNode))
        promise = with_volumes("2", promises=self.promises)
        self.layout = FitSnapshot(caches, Latest(caches.nodes), promise, lambda: (), lambda _: False)
        for each in caches.all:
            if each.resource.type not in (Node, Pod, DaemonSet):
                each.subscribe(self.layout.changed)
        for volume, claim, _ in found:
            self.layout.snapshot.apply(volume)
            self.layout.snapshot.apply(claim)
        self.layout.place_node("n")

    @property
    def room(self) -> int:
        """How many of the pods fit there together."""
        snapshot = self.layout.snapshot
        with snapshot.trial():
            for number, each in enumerate(self.pods):
                if snapshot.verdict(each, "n").fit is not Fit.YES:
                    return number
                snapshot.place(each, "n")
        return len(self.pods)


def test_a_promise_limits_volumes_until_the_driver_does(caches: FitCaches) -> None:
    it = Volumes(caches)
    assert it.room == 2
    it.csi_nodes.put(CsiNode(metadata=ObjectMeta(name="n", uid="c")), 10)  # no driver has registered yet
    assert it.room == 2
    it.csi_nodes.put(csi_node(4), 11)
    assert it.room == 4
    it.layout.place_node("n")
    assert it.room == 4
    it.csi_nodes.drop("n", 12)
    assert it.room == 2
    it.promises[0] = False
    it.layout.place_node("n")
    assert it.room == len(it.pods)
    assert "n" not in it.layout.snapshot.storage.csi_nodes


def test_what_is_not_promised_is_counted_as_it_is(caches: FitCaches) -> None:
    it = Volumes(caches)
    it.csi_nodes.put(csi_node(3), 10)
    it.promises[0] = False
    it.layout.place_node("n")
    assert it.room == 3
    assert it.layout.snapshot.storage.csi_nodes["n"].drivers == csi_node(3).drivers


def test_limits_are_still_there_after_the_snapshot_was_built_anew(caches: FitCaches) -> None:
    it = Volumes(caches)
    it.layout._rebuild()
    assert it.room == 2
