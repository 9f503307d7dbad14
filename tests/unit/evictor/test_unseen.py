"""Unreadable or forbidden objects hold only the nodes that they could affect, and the reason names them."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.evictor.candidates import Stance
from tests.unit.evictor.build import Json, budget, controller, judged, judged_pod, merged, names, node, owner, pod

RS, JOB = owner("ReplicaSet", "web-1"), owner("Job", "batch")
DEPLOYMENT = owner("Deployment", "web")
WEB = (
    pod(of=RS),
    controller("ReplicaSet", "web-1", of=DEPLOYMENT, spec={"replicas": 2}),
    controller("Deployment", "web", spec={"replicas": 2}),
)
DISPOSABLE = {"metadata": {"annotations": {"autoscaling.cast.ai/disposable": "true"}}}
WHY = "the account may not list it"
DATA = {"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("ReplicaSet", {}, "OWNER_UNSEEN"),
        ("Deployment", {}, "OWNER_UNSEEN"),
        ("StatefulSet", {}, ""),
        ("Job", {}, ""),
        ("PodDisruptionBudget", {}, "BUDGET_UNSEEN"),
        ("Namespace", {}, "NAMESPACE_UNSEEN"),
        ("PersistentVolumeClaim", {}, ""),
        ("PersistentVolumeClaim", DATA, "VOLUME_UNSEEN"),
        ("PersistentVolume", {}, ""),
        ("NodeClaim", {}, ""),
        ("NodePool", {}, ""),
    ],
)
def test_kinds_that_cannot_be_listed(kind: str, change: Json, reason: str) -> None:
    found = judged_pod(merged(WEB[0], change), *WEB[1:], unseen={kind: WHY})
    assert names(found) == [reason or "REPLICATED"]
    assert (WHY in str(found.findings[0])) == bool(reason)


def test_volumes_that_cannot_be_listed() -> None:
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"}}
    bound = claim | {"spec": {"volumeName": "pv"}}
    found = judged_pod(merged(WEB[0], DATA), *WEB[1:], bound, unseen={"PersistentVolume": WHY})
    assert [str(each) for each in found.findings] == [
        f"whether a volume of it is on this node only cannot be seen (PersistentVolume pv: {WHY})"
    ]


def test_a_controller_that_cannot_be_seen_could_protect_a_disposable_pod_too() -> None:
    found = judged_pod(merged(WEB[0], DISPOSABLE), *WEB[1:], unseen={"Deployment": WHY})
    assert names(found) == ["OWNER_UNSEEN"]
    assert f"Deployment shop/web: {WHY}" in str(found.findings[0])


@pytest.mark.parametrize("kind", ["DaemonSet", "Node"])
def test_what_belongs_to_its_node_needs_no_controller(kind: str) -> None:
    unseen = dict.fromkeys(("DaemonSet", "PodDisruptionBudget", "Namespace"), WHY)
    assert judged_pod(pod(of=owner(kind, "x")), unseen=unseen).stance is Stance.STAYS


@pytest.mark.parametrize(
    ("broken", "reason", "field"),
    [
        pytest.param({"metadata": {"annotations": [1]}}, "POD_UNREADABLE", "metadata.annotations", id="annotations"),
        pytest.param({"metadata": {"labels": {"app": 1}}}, "POD_UNREADABLE", "metadata.labels", id="labels"),
        pytest.param({"spec": {"volumes": "none"}}, "POD_UNREADABLE", "spec.volumes", id="volumes"),
        pytest.param({"status": {"phase": 7}}, "POD_UNREADABLE", "status.phase", id="phase"),
        pytest.param({"spec": {"priority": "high"}}, "POD_UNREADABLE", "spec.priority", id="priority"),
        pytest.param({"metadata": {"ownerReferences": {}}}, "POD_UNREADABLE", "metadata.ownerReferences", id="owners"),
        pytest.param({"status": {"startTime": 12}}, "REPLICATED", "", id="a field that is not read here"),
        pytest.param({"metadata": {"finalizers": 12}}, "REPLICATED", "", id="another one"),
        pytest.param({"spec": {"containers": "many"}}, "REPLICATED", "", id="one that fit reads"),
    ],
)
def test_pods_of_which_not_all_can_be_read(broken: Json, reason: str, field: str) -> None:
    found = judged_pod(merged(WEB[0], broken), *WEB[1:])
    assert names(found) == [reason], "nothing is said of what is missing"
    assert field in str(found.findings[0])


def test_what_can_be_read_of_a_pod_counts() -> None:
    odd: Json = {"spec": {"volumes": "odd"}}
    marked = merged(odd, {"metadata": {"labels": {"autoscaling.cast.ai/removal-disabled": "true"}}})
    assert names(judged_pod(merged(WEB[0], marked), *WEB[1:])) == ["REMOVAL_DISABLED", "POD_UNREADABLE"]
    assert names(judged_pod(merged(WEB[0], {**odd, "status": {"phase": "Failed"}}), *WEB[1:])) == ["FINISHED"]
    assert names(judged_pod(merged(pod(of=owner("DaemonSet", "x")), odd))) == ["DAEMON_SET"]


def test_nodes_are_not_empty_because_their_pods_cannot_be_listed() -> None:
    found = judged(node(), unseen={"Pod": WHY})
    assert (names(found), found.receives) == (["NODE_PODS_UNSEEN"], False)
    assert WHY in str(found.findings[0])


def test_a_pod_that_cannot_be_read_is_not_disposable() -> None:
    found = judged_pod(merged(pod(), {**DISPOSABLE, "spec": {"volumes": "none"}}))
    assert names(found) == ["POD_UNREADABLE"]


@pytest.mark.parametrize(
    ("kind", "broken", "reason"),
    [
        ("ReplicaSet", {"spec": {"replicas": "two"}}, "OWNER_UNSEEN"),
        ("Deployment", {"metadata": {"annotations": "x"}}, "OWNER_UNSEEN"),
        ("Namespace", {"metadata": {"deletionTimestamp": 5}}, "NAMESPACE_UNSEEN"),
        ("Namespace", {"metadata": {"labels": 5}}, ""),
    ],
)
def test_other_objects_of_which_not_all_can_be_read(kind: str, broken: Json, reason: str) -> None:
    things = [*WEB, {"kind": "Namespace", "metadata": {"name": "shop"}}]
    found = judged_pod(*(merged(each, broken) if each["kind"] == kind else each for each in things))
    assert names(found) == [reason or "REPLICATED"]


@pytest.mark.parametrize(
    "broken", [{"metadata": {"labels": ["x"]}}, {"spec": {"taints": {}}}, {"status": {"conditions": "fine"}}]
)
def test_nodes_of_which_not_all_can_be_read(broken: Json) -> None:
    found = judged(node(**broken))
    assert names(found) == ["NODE_UNREADABLE"], "nothing is said of what is missing"
    assert not found.receives


def test_nodes_where_only_something_else_cannot_be_read() -> None:
    assert judged(node(status={"allocatable": "much"}, metadata={"finalizers": 7})).may_go
    assert names(judged(node(metadata={"creationTimestamp": 7}))) == ["NODE_AGE_UNKNOWN"]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"apiVersion": None}, "OWNER_UNKNOWN"),
        ({"kind": None}, "OWNER_UNKNOWN"),
        ({"uid": None}, "OWNER_ABSENT"),
        ({"name": None}, "OWNER_ABSENT"),
        ({"controller": None}, "BARE_POD"),
    ],
)
def test_controller_references_with_something_missing(reference: Json, reason: str) -> None:
    found = judged_pod(pod(of={**RS, **reference}), *WEB[1:])
    assert names(found) == [reason]


@pytest.mark.parametrize("empty", [{}, {"metadata": None}, {"metadata": {}, "spec": None, "status": None}])
def test_objects_with_hardly_anything_in_them(empty: Json) -> None:
    things: list[Json] = [
        {"kind": kind, **empty} for kind in ("Node", "Pod", "PodDisruptionBudget", "NodeClaim", "NodePool", "Job")
    ]
    found = judged(node(), *things)
    assert found.may_go, "they are of no node and of no namespace"


def test_pods_without_a_node_or_of_one_that_is_gone_hold_nothing() -> None:
    assert judged(node(), pod(on=""), pod(on="gone")).pods == ()


def test_controllers_that_own_each_other_come_to_an_end() -> None:
    ring: list[Any] = [controller("ReplicaSet", "web-1", of=RS, spec={"replicas": 2})]
    assert names(judged_pod(pod(of=RS), *ring, budget())) == ["REPLICATED"]
