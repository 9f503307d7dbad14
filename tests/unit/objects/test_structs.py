"""Structs decode what API servers really write: nulls, absent fields, new fields, unusual names."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage import objects
from moorage.kube import resources
from moorage.kube.resource import Resource
from moorage.objects import CsiNode, Lease, Node, PersistentVolumeClaim, Pod, PodDisruptionBudget, Workload

KINDS: list[Resource[Any]] = [r for r in vars(resources).values() if isinstance(r, Resource)]


def read(kind: type[Any], manifest: Any) -> Any:
    return msgspec.json.decode(json.dumps(manifest).encode(), type=kind)


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: r.kind)
def test_every_kind_decodes_from_nothing_and_beside_unknown_fields(resource: Resource[Any]) -> None:
    assert read(resource.type, {}) == resource.type()
    news = {
        "kind": "X",
        "apiVersion": "y",
        "spec": {"brandNew": [1]},
        "status": {"brandNew": {"a": None}},
        "brandNew": 7,
    }
    found = read(resource.type, {**news, "metadata": {"name": "a", "managedFields": [{}], "creationTimestamp": None}})
    assert found.metadata.name == "a"
    assert found.metadata.creation_timestamp is None


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: r.kind)
def test_structs_are_immutable_and_survive_a_round_trip(resource: Resource[Any]) -> None:
    obj = read(resource.type, {"metadata": {"name": "a", "namespace": "ns", "resourceVersion": "1"}})
    with pytest.raises(AttributeError):
        obj.metadata.name = "b"
    with pytest.raises(AttributeError):
        obj.metadata = objects.ObjectMeta()
    assert msgspec.json.decode(msgspec.json.encode(obj), type=resource.type) == obj


@pytest.mark.parametrize("resource", KINDS, ids=lambda r: r.kind)
def test_kinds_are_consistent_with_their_paths(resource: Resource[Any]) -> None:
    path = resource.path("ns" if resource.namespaced else "", "a")
    assert path.startswith("/apis/" if "/" in resource.group_version else "/api/v1/")
    assert path.endswith(f"/{resource.plural}/a")
    assert ("/namespaces/ns/" in path) == resource.namespaced


def test_keys() -> None:
    assert read(Pod, {"metadata": {"name": "a", "namespace": "ns"}}).key == "ns/a"
    assert read(Node, {"metadata": {"name": "n1"}}).key == "n1"


def test_the_managing_owner_is_the_one_that_says_so() -> None:
    owners = [{"uid": "a"}, {"uid": "b", "controller": True}, {"uid": "c", "controller": False}]
    managed = read(Pod, {"metadata": {"ownerReferences": owners}})
    assert managed.metadata.controller().uid == "b"
    assert read(Pod, {"metadata": {"ownerReferences": owners[:1]}}).metadata.controller() is None


def test_a_node_without_csi_drivers_is_written_with_null() -> None:
    assert read(CsiNode, {"metadata": {"name": "n1"}, "spec": {"drivers": None}}).drivers == ()
    assert read(CsiNode, {"spec": {}}).drivers == ()
    (driver,) = read(
        CsiNode, {"spec": {"drivers": [{"name": "d", "nodeID": "i", "allocatable": {"count": 3}}]}}
    ).drivers
    assert (driver.name, driver.node_id, driver.allocatable.count) == ("d", "i", 3)


def test_names_that_are_not_plain_camel_case() -> None:
    node = read(Node, {"spec": {"providerID": "aws:///x"}, "status": {"nodeInfo": {"machineID": "m", "bootID": "b"}}})
    assert node.spec.provider_id == "aws:///x"
    assert (node.status.node_info.machine_id, node.status.node_info.boot_id) == ("m", "b")
    ports = [{"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]
    pod = read(Pod, {"spec": {"containers": [{"name": "c", "ports": ports}]}})
    assert pod.spec.containers[0].ports[0].host_ip == "10.0.0.1"
    assert pod.spec.containers[0].ports[0].protocol == "TCP"


def test_a_node_is_real_once_a_kubelet_has_reported() -> None:
    placeholder = read(
        Node, {"status": {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}}
    )
    assert not placeholder.has_kubelet
    assert placeholder.ready
    real = {"nodeInfo": {"kubeletVersion": "v1.36.3"}, "conditions": [{"type": "Ready", "status": "Unknown"}]}
    assert read(Node, {"status": real}).has_kubelet
    assert not read(Node, {"status": real}).ready


def test_quantities_stay_as_they_were_written() -> None:
    requests = {"cpu": "500m", "memory": "1Gi", "example.com/gpu": 2}
    pod = read(Pod, {"spec": {"containers": [{"resources": {"requests": requests}}]}})
    assert pod.spec.containers[0].resources.requests == requests


def test_absent_is_told_from_zero_where_it_matters() -> None:
    assert read(Workload, {"spec": {}}).spec.replicas is None
    assert read(Workload, {"spec": {"replicas": 0}}).spec.replicas == 0
    assert read(PersistentVolumeClaim, {"spec": {}}).spec.storage_class_name is None
    assert read(PersistentVolumeClaim, {"spec": {"storageClassName": ""}}).spec.storage_class_name == ""
    assert read(Lease, {"spec": {}}).spec.renew_time is None
    budget = read(PodDisruptionBudget, {"spec": {"minAvailable": 0, "maxUnavailable": "25%"}})
    assert (budget.spec.min_available, budget.spec.max_unavailable) == (0, "25%")
    assert budget.spec.selector is None
    assert read(PodDisruptionBudget, {"spec": {"selector": {}}}).spec.selector is not None


@pytest.mark.parametrize(
    ("phase", "finished"), [("Succeeded", True), ("Failed", True), ("Running", False), ("", False)]
)
def test_finished(phase: str, finished: bool) -> None:
    assert read(Pod, {"status": {"phase": phase}}).finished is finished


def test_an_empty_map_belongs_to_one_object() -> None:
    one, two = read(Pod, {"metadata": {"name": "x"}}), read(Pod, {"metadata": {"name": "y"}})
    one.metadata.labels["a"] = "b"
    assert two.metadata.labels == {}
    assert read(Pod, {"metadata": {}}).metadata.labels == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text("ab/.-", min_size=1, max_size=6), st.text('aé"\\\n', max_size=6), max_size=4))
def test_labels_are_any_text(labels: dict[str, str]) -> None:
    pod = read(Pod, {"metadata": {"name": "a", "labels": labels}})
    assert pod.metadata.labels == labels
    assert msgspec.json.decode(msgspec.json.encode(pod), type=Pod) == pod
