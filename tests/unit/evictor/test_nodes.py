"""Nodes that are never emptied, and those of them that accept no pods of others."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.evictor.build import NOW, OLD, Json, controller, judged, merged, names, node, owner, pod, policy

CLAIM: Json = {"metadata": {"ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "c-1"}]}}


def taints(*keys: str) -> Json:
    return {"spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in keys]}}


def label(key: str, value: str = "") -> Json:
    return {"metadata": {"labels": {key: value}}}


def annotation(key: str, value: str = "true") -> Json:
    return {"metadata": {"annotations": {key: value}}}


def ready(*conditions: Json) -> Json:
    return {"status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("change", "reason", "receives"),
    [
        pytest.param(label("node-role.kubernetes.io/control-plane"), "NODE_CONTROL_PLANE", True, id="control plane"),
        pytest.param(taints("node-role.kubernetes.io/master"), "NODE_CONTROL_PLANE", True, id="control plane by taint"),
        pytest.param(ready({"type": "Ready", "status": "False"}), "NODE_NOT_READY", False, id="not ready"),
        pytest.param(ready({"type": "Ready", "status": "Unknown"}), "NODE_NOT_READY", False, id="not heard of"),
        pytest.param(ready({"type": "Ready", "status": None}), "NODE_NOT_READY", False, id="ready is null"),
        pytest.param(ready(), "NODE_NOT_READY", False, id="no condition"),
        pytest.param({"status": {"nodeInfo": {"kubeletVersion": ""}}}, "NODE_PLACEHOLDER", False, id="no kubelet"),
        pytest.param({"status": {"nodeInfo": None}}, "NODE_PLACEHOLDER", False, id="no node info"),
        pytest.param(label("moorage.dev/placeholder", "true"), "NODE_PLACEHOLDER", False, id="joining"),
        pytest.param(taints("scheduling.cast.ai/pod-pinning-preparing"), "NODE_PREPARING", False, id="being filled"),
        pytest.param({"spec": {"unschedulable": True}}, "NODE_CORDONED", False, id="cordoned"),
        pytest.param(taints("node.kubernetes.io/unschedulable"), "NODE_CORDONED", False, id="cordoned by taint"),
        pytest.param({"metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}}, "NODE_DELETED", False, id="deleted"),
        *(
            pytest.param(taints(key), "NODE_MARKED", False, id=key)
            for key in (
                "ToBeDeletedByClusterAutoscaler",
                "DeletionCandidateOfClusterAutoscaler",
                "karpenter.sh/disrupted",
                "karpenter.sh/disruption",
                "karpenter.sh/unregistered",
                "autoscaling.cast.ai/draining",
                "aws-node-termination-handler/spot-itn",
                "node.cloudprovider.kubernetes.io/shutdown",
                "node.kubernetes.io/out-of-service",
                "cloud.google.com/impending-node-termination",
            )
        ),
        pytest.param(label("autoscaling.cast.ai/draining", "rebalancing"), "NODE_MARKED", False, id="draining"),
        pytest.param(CLAIM, "NODE_MARKED", False, id="its NodeClaim is gone"),
        pytest.param(label("eks.amazonaws.com/compute-type", "fargate"), "NODE_VIRTUAL", False, id="Fargate"),
        pytest.param(label("type", "virtual-kubelet"), "NODE_VIRTUAL", False, id="virtual-kubelet"),
        pytest.param(taints("virtual-kubelet.io/provider"), "NODE_VIRTUAL", False, id="virtual-kubelet by taint"),
        pytest.param({"status": {"nodeInfo": {"operatingSystem": "windows"}}}, "NODE_WINDOWS", True, id="Windows"),
        pytest.param(annotation("karpenter.sh/do-not-disrupt"), "NODE_KEPT_FOR_OTHERS", True, id="for Karpenter"),
        pytest.param(annotation("karpenter.sh/do-not-disrupt", "48h"), "NODE_KEPT_FOR_OTHERS", True, id="for a time"),
        pytest.param(
            annotation("cluster-autoscaler.kubernetes.io/scale-down-disabled"),
            *("NODE_KEPT_FOR_OTHERS", True),
            id="for cluster-autoscaler",
        ),
        pytest.param(annotation("karpenter.sh/do-not-disrupt", "yes"), "NODE_MARK_UNREADABLE", True, id="odd mark"),
        pytest.param({"metadata": {"creationTimestamp": "2026-01-01T11:56:00Z"}}, "NODE_YOUNG", True, id="young"),
        pytest.param({"metadata": {"creationTimestamp": "2026-01-01T13:00:00Z"}}, "NODE_YOUNG", True, id="of later"),
        pytest.param({"metadata": {"creationTimestamp": None}}, "NODE_AGE_UNKNOWN", True, id="no age"),
        pytest.param({"metadata": {"creationTimestamp": "yesterday"}}, "NODE_AGE_UNKNOWN", True, id="odd age"),
    ],
)
def test_nodes_that_stay(change: Json, reason: str, receives: bool) -> None:
    """Each of them also when it is empty."""
    found = judged(node(**change))
    assert (names(found), found.may_go, found.receives) == ([reason], False, receives)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="a plain node"),
        pytest.param({"metadata": {"creationTimestamp": "2026-01-01T11:55:00Z"}}, id="old enough by now"),
        pytest.param({"metadata": {"labels": None, "annotations": None}, "spec": {"taints": None}}, id="nulls"),
        pytest.param(label("eks.amazonaws.com/compute-type", "auto"), id="EKS Auto Mode"),
        pytest.param(taints("dedicated"), id="a taint of its owner"),
        pytest.param(annotation("karpenter.sh/do-not-disrupt", "false"), id="do-not-disrupt says no"),
        pytest.param(annotation("karpenter.sh/do-not-disrupt", "1h"), id="a time that is over"),
        pytest.param(annotation("cluster-autoscaler.kubernetes.io/scale-down-disabled", "false"), id="may scale down"),
        pytest.param({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Machine"}]}}, id="another owner"),
    ],
)
def test_nodes_that_may_go(change: Json) -> None:
    found = judged(node(**change))
    assert (names(found), found.may_go, found.receives) == ([], True, True)


def test_scoped_mode_covers_the_nodes_that_the_label_names() -> None:
    scoped = policy(scoped=True)
    assert judged(node(**label("provisioner.cast.ai/managed-by", "cast.ai")), settings=scoped).may_go
    for change in ({}, label("provisioner.cast.ai/managed-by", "karpenter")):
        found = judged(node(**change), settings=scoped)
        assert (names(found), found.receives) == (["NODE_OUT_OF_SCOPE"], True)


@pytest.mark.parametrize(
    ("minutes", "age", "goes"), [(5, 4, False), (5, 5, True), (8, 7, False), (8, 8, True), (0, 0, True)]
)
def test_node_grace_period_minutes(minutes: int, age: int, goes: bool) -> None:
    created = (NOW - timedelta(minutes=age)).isoformat()
    settings = policy(node_grace_period=timedelta(minutes=minutes))
    assert judged(node(metadata={"creationTimestamp": created}), settings=settings).may_go == goes


def test_without_a_grace_period_the_age_is_no_matter() -> None:
    unknown = node(metadata={"creationTimestamp": None})
    assert judged(unknown, settings=policy(node_grace_period=timedelta(0))).may_go


def test_windows_nodes_when_they_are_wanted() -> None:
    windows = node(**label("kubernetes.io/os", "windows"), status={"nodeInfo": {"operatingSystem": ""}})
    assert names(judged(windows)) == ["NODE_WINDOWS"]
    assert judged(windows, settings=policy(windows=True)).may_go


@pytest.mark.parametrize(
    ("claim", "more", "reasons"),
    [
        ({"metadata": {"name": "c-1"}}, {}, []),
        ({"metadata": {"name": "c-1", "deletionTimestamp": "2026-01-01T11:59:00Z"}}, {}, ["NODE_MARKED"]),
        ({"metadata": {"name": "c-2"}}, {}, ["NODE_MARKED"]),
        ({"metadata": {"name": "c-1"}}, {"unseen": {"NodeClaim": "may not list"}}, ["NODE_CLAIM_UNSEEN"]),
    ],
)
def test_node_claims(claim: Json, more: dict[str, Any], reasons: list[str]) -> None:
    found = judged(node(**CLAIM), {"kind": "NodeClaim", **claim}, **more)
    assert names(found) == reasons


POOLED: Json = label("karpenter.sh/nodepool", "a")


def pool(**disruption: Any) -> Json:
    """A NodePool named a that leaves nodes alone that are in use, but for the changes."""
    asked = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "30s", "budgets": [{"nodes": "10%"}]}
    return {"kind": "NodePool", "metadata": {"name": "a"}, "spec": {"disruption": asked | disruption}}


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(pool(), id="empty nodes only"),
        pytest.param(pool(budgets=None), id="no budgets"),
        pytest.param(pool(budgets=[{"nodes": "0", "reasons": ["Underutilized", "Drifted"]}]), id="of other nodes"),
        pytest.param(pool(budgets=[{"nodes": "0", "schedule": "@daily", "duration": "8h"}]), id="at times"),
        pytest.param(pool(budgets=[{"nodes": "10"}, {"nodes": "1%"}]), id="slowly"),
    ],
)
def test_nodes_of_a_pool_that_removes_what_is_empty(found: Json) -> None:
    verdict = judged(node(**POOLED), found)
    assert (names(verdict), verdict.may_go) == ([], True)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"consolidationPolicy": "WhenEmptyOrUnderutilized"}, "NODE_POOL_CONSOLIDATES", "WhenEmptyOrUnderutilized"),
        ({"consolidationPolicy": "Balanced"}, "NODE_POOL_CONSOLIDATES", "consolidationPolicy: Balanced"),
        ({"consolidationPolicy": None}, "NODE_POOL_CONSOLIDATES", "consolidationPolicy: none"),
        ({"consolidateAfter": "Never"}, "NODE_POOL_KEEPS", "NodePool a: consolidateAfter: Never"),
        ({"budgets": [{"nodes": "5"}, {"nodes": "0"}]}, "NODE_POOL_KEEPS", "a budget with nodes: 0"),
        ({"budgets": [{"nodes": "0%", "reasons": ["Empty"]}]}, "NODE_POOL_KEEPS", "a budget with nodes: 0%"),
    ],
)
def test_nodes_of_a_pool_that_does_otherwise(change: Json, reason: str, detail: str) -> None:
    verdict = judged(node(**POOLED), pool(**change))
    assert (names(verdict), verdict.may_go, verdict.receives) == ([reason], False, True)
    assert detail in str(verdict.findings[0])


def test_a_pool_of_so_many_nodes_keeps_them() -> None:
    fixed = pool()
    fixed["spec"]["replicas"] = 0
    verdict = judged(node(**POOLED), fixed)
    assert names(verdict) == ["NODE_POOL_KEEPS"]
    assert "NodePool a: replicas: 0" in str(verdict.findings[0])


@pytest.mark.parametrize(
    ("found", "more", "detail"),
    [
        (pool(), {"unseen": {"NodePool": "may not list nodepools"}}, "NodePool a: may not list nodepools"),
        (pool(budgets="none"), {}, "spec"),
        ({**pool(), "metadata": {"name": "b"}}, {}, "NodePool a does not exist"),
        ({**pool(), "metadata": {"name": "a", "deletionTimestamp": OLD}}, {}, "NodePool a is being deleted"),
    ],
)
def test_nodes_of_a_pool_of_which_not_enough_is_known(found: Json, more: dict[str, Any], detail: str) -> None:
    verdict = judged(node(**POOLED), found, **more)
    assert names(verdict) == ["NODE_POOL_UNKNOWN"]
    assert detail in str(verdict.findings[0])


@pytest.mark.parametrize("kind", ["NodeClaim", "NodePool"])
def test_pools_and_claims_that_cannot_be_seen_are_no_matter_without_karpenter(kind: str) -> None:
    assert judged(node(), unseen={kind: "may not list"}).may_go


def test_all_reasons_are_told_with_their_particulars() -> None:
    found = judged(
        node(
            metadata={
                "creationTimestamp": "2026-01-01T11:58:00Z",
                "labels": {"autoscaling.cast.ai/removal-disabled": "true"},
            },
            spec={"unschedulable": True},
        ),
        pod(of=owner("ReplicaSet", "web-1")),
        controller("ReplicaSet", "web-1", spec={"replicas": 2}),
    )
    assert [str(each) for each in found.findings] == [
        "the node is marked as never to be removed, not even when it is empty "
        '(autoscaling.cast.ai/removal-disabled: "true")',
        "the node has not existed for long enough (since 2026-01-01T11:58:00Z, nodeGracePeriodMinutes: 5)",
        "the node is cordoned",
    ]
    assert [str(each) for pod in found.pods for each in pod.findings] == [
        "its controller has more than one replica (ReplicaSet web-1: 2)"
    ]


def marked(
    phase: str, by: str = "castai-agent/castai-evictor", since: str = "2026-01-01T11:59:00Z", **more: Any
) -> Json:
    """A node with the mark of a drain."""
    said = {"by": by, "cycle": "c", "phase": phase, "since": since, "set": ["taint", "cordon"], **more}
    return node(metadata={"annotations": {"moorage.dev/drain": json.dumps(said)}}, spec={"unschedulable": True})


@pytest.mark.parametrize(
    ("phase", "reasons", "receives"),
    [
        ("chosen", ["NODE_DRAINING"], False),
        ("draining", ["NODE_DRAINING"], False),
        ("emptied", ["NODE_EMPTIED"], False),
    ],
)
@pytest.mark.parametrize("us", ["", "castai-agent/castai-evictor"])
def test_what_we_do_to_a_node_ourselves_is_no_stranger_s_doing(
    phase: str, reasons: list[str], receives: bool, us: str
) -> None:
    found = judged(marked(phase), settings=policy(installation=us))
    assert (names(found), found.may_go, found.receives) == (reasons, False, receives)


@pytest.mark.parametrize("phase", ["chosen", "draining", "emptied"])
def test_what_another_installation_does_is_a_stranger_s_doing(phase: str) -> None:
    found = judged(marked(phase, "other/evictor"), settings=policy(installation="castai-agent/castai-evictor"))
    assert names(found) == ["NODE_CORDONED", "NODE_MARKED"]
    assert str(found.findings[1]).endswith("(annotation moorage.dev/drain of other/evictor)")


def test_a_cordon_that_our_mark_does_not_call_ours_is_somebody_s() -> None:
    assert names(judged(marked("emptied", set=["taint"]))) == ["NODE_CORDONED", "NODE_EMPTIED"]


@pytest.mark.parametrize(
    ("phase", "minutes", "reasons"),
    [
        ("rolled-back", 9, ["NODE_RESTING"]),
        ("rolled-back", 11, []),
        ("handed-back", 59, ["NODE_RESTING"]),
        ("handed-back", 61, []),
    ],
)
def test_a_node_that_was_given_back_is_left_alone_for_a_while_and_receives(
    phase: str, minutes: int, reasons: list[str]
) -> None:
    since = (NOW - timedelta(minutes=minutes)).isoformat()
    found = judged(merged(marked(phase, since=since, set=[], reason="why"), {"spec": {"unschedulable": False}}))
    assert (names(found), found.receives) == (reasons, True)


def test_a_mark_that_cannot_be_read_keeps_the_node() -> None:
    assert names(judged(marked("soon", set=[]))) == ["NODE_CORDONED", "NODE_MARKED"]
    assert names(judged(marked("chosen", since="9999-12-31T23:59:59Z"))) == ["NODE_CORDONED", "NODE_MARKED"]


POOL = "eks.amazonaws.com/nodegroup"


def in_pool(name: str, pool: str = "a", key: str = POOL) -> Json:
    return node(name, metadata={"labels": {key: pool}})


@pytest.mark.parametrize(
    ("other", "reasons"),
    [
        (in_pool("n1"), ["NODE_RESTING"]),
        (in_pool("n1", "b"), []),
        (in_pool("n1", key="karpenter.sh/nodepool"), ["NODE_POOL_UNKNOWN"]),
        (node(), []),
    ],
)
def test_a_group_whose_emptied_node_nobody_has_deleted_is_left_alone(other: Json, reasons: list[str]) -> None:
    why = "the node has not been deleted since it was emptied (15 minutes)"
    given_back = merged(marked("handed-back", set=[], reason=why), in_pool("n2"))
    assert names(judged(other, given_back)) == reasons
    used_again = merged(marked("handed-back", set=[], reason="the scheduler needs the node (a/b)"), in_pool("n2"))
    assert names(judged(in_pool("n1"), used_again)) == []
    long_ago = merged(marked("handed-back", since="2026-01-01T10:59:00Z", set=[], reason=why), in_pool("n2"))
    assert names(judged(in_pool("n1"), long_ago)) == []
