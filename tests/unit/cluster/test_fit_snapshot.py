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
