"""Input that no API server stores, or that is missing: no exception, no "yes", and the field is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moorage.objects import Node, PersistentVolumeClaim, Pod
from moorage.scheduling import Fit, Reason, Snapshot

from .build import HOST, REQUIRED, WEB, ZONE, node, pod, spread

NEAR = {"key": "app", "operator": "Near", "values": ["web"]}
UNREADABLE = {"matchExpressions": [NEAR]}


def ask(snapshot: Snapshot, pending: Pod, name: str = "n0") -> tuple[Fit, str]:
    verdict = snapshot.verdict(pending, name)
    assert (name in snapshot.fitting(pending)) == (verdict.fit is Fit.YES)
    return verdict.fit, str(verdict)


def cluster(*things: Node | Pod) -> Snapshot:
    snapshot = Snapshot()
    for thing in things or (node(),):
        snapshot.apply(thing)
    return snapshot


@pytest.mark.parametrize("text", ["", "1 core", "0x10", "1e", "--1", "1.2.3", "½", "NaN", "1Ki1", "9" * 500])
def test_pod_quantity_that_does_not_parse(text: str) -> None:
    fit, why = ask(cluster(), pod(requests={"cpu": text}))
    assert fit is Fit.UNKNOWN
    assert "spec.containers[0].resources.requests[cpu]" in why


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"overhead": {"cpu": "-1"}}, "spec.overhead[cpu]"),
        ({"resources": {"requests": {"memory": "-1Gi"}}}, "spec.resources.requests[memory]"),
        (
            {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "-500m"}}}]},
            "spec.initContainers[0].resources.requests[cpu]",
        ),
    ],
)
def test_negative_requests(spec: dict[str, Any], field: str) -> None:
    fit, why = ask(cluster(), pod(**spec))
    assert fit is Fit.UNKNOWN
    assert field in why


def test_pod_on_the_node_with_negative_request_leaves_no_yes() -> None:
    snapshot = cluster(node(), node("n1"), pod("bad", {"cpu": "-100"}, on="n0"), pod("full", {"cpu": "4"}, on="n0"))
    fit, why = ask(snapshot, pod("q", {"memory": "1Gi"}))
    assert fit is Fit.UNKNOWN
    assert "resources of a pod on the node" in why
    assert ask(snapshot, pod("q", {"memory": "1Gi"}), "n1")[0] is Fit.YES
    assert ask(snapshot, pod("q", {"cpu": "1"}))[0] is Fit.NO  # what is known is full already
    snapshot.delete(Pod, "shop/bad")
    assert ask(snapshot, pod("q", {"memory": "1Gi"}))[0] is Fit.YES


def test_missing_allocatable() -> None:
    fit, why = ask(cluster(node(room={})), pod())
    assert fit is Fit.NO
    assert "status.allocatable[pods] is missing" in why
    fit, why = ask(cluster(node(room={"pods": "10", "cpu": "4"})), pod(requests={"memory": "1"}))
    assert fit is Fit.NO
    assert "memory: 1 needed, 0 free of 0" in why


def test_allocatable_that_does_not_parse() -> None:
    snapshot = cluster(node(room={"pods": "10", "cpu": "four", "memory": "8Gi"}))
    fit, why = ask(snapshot, pod(requests={"cpu": "1"}))
    assert fit is Fit.UNKNOWN
    assert "node status.allocatable[cpu]" in why
    assert ask(snapshot, pod(requests={"memory": "1Gi"}))[0] is Fit.YES  # it does not need what cannot be read
    snapshot.apply(node())
    assert ask(snapshot, pod(requests={"cpu": "1"}))[0] is Fit.YES


def test_huge_quantities_do_not_wrap_around() -> None:
    pods = [pod(f"p{i}", {"memory": "9000Pi", "cpu": 2**62}, on="n0") for i in range(9)]
    snapshot = cluster(node(), *pods)
    assert ask(snapshot, pod("q", {"memory": "1"}))[0] is Fit.NO
    assert ask(snapshot, pod("q", {"cpu": "1m"}))[0] is Fit.NO


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [NEAR]}]}}}},
            Reason.NODE_AFFINITY,
            "nodeSelectorTerms[0].matchExpressions[0].operator",
        ),
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}},
            Reason.NODE_AFFINITY,
            "spec.affinity.nodeAffinity",
        ),
        (
            {
                "affinity": {
                    "podAffinity": {REQUIRED: [{"topologyKey": ZONE, "labelSelector": {"matchExpressions": [NEAR]}}]}
                }
            },
            Reason.AFFINITY_INVALID,
            "podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].operator",
        ),
        (
            {"topologySpreadConstraints": spread(labelSelector=UNREADABLE)},
            Reason.SPREAD_INVALID,
            "spec.topologySpreadConstraints[0].labelSelector.matchExpressions[0].operator",
        ),
    ],
)
def test_selectors_with_unknown_operators(spec: dict[str, Any], reason: Reason, field: str) -> None:
    snapshot = cluster()
    verdict = snapshot.verdict(pod(**spec), "n0")
    assert verdict.fit is Fit.NO
    assert [finding.reason for finding in verdict.findings] == [reason]
    assert field in str(verdict)
    assert snapshot.fitting(pod(**spec)) == []


def test_unknown_topology_keys() -> None:
    fit, why = ask(cluster(), pod(topologySpreadConstraints=spread("moon")))
    assert (fit, "spec.topologySpreadConstraints[0].topologyKey: moon" in why) == (Fit.NO, True)
    term = {"topologyKey": "moon", "labelSelector": WEB}
    fit, why = ask(cluster(), pod(affinity={"podAffinity": {REQUIRED: [term]}}))
    assert (fit, "the node has no label moon" in why) == (Fit.NO, True)
    fit, _ = ask(cluster(), pod(affinity={"podAntiAffinity": {REQUIRED: [term]}}))
    assert fit is Fit.YES  # nobody is near anybody on the moon


def test_volume_whose_pv_is_gone() -> None:
    snapshot = cluster()
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    fit, why = ask(snapshot, pod(volumes=volumes))
    assert (fit, "spec.volumes[0]: shop/data" in why) == (Fit.NO, True)
    claim = {
        "metadata": {"name": "data", "namespace": "shop", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "pv-7"},
    }
    snapshot.apply(msgspec.convert(claim, PersistentVolumeClaim))
    fit, why = ask(snapshot, pod(volumes=volumes))
    assert (fit, "spec.volumes[0]: pv-7 of shop/data" in why) == (Fit.NO, True)


def test_resource_claims_are_not_decidable() -> None:
    fit, why = ask(cluster(), pod(resourceClaims=[{"name": "gpu"}]))
    assert (fit, "spec.resourceClaims: gpu" in why) == (Fit.UNKNOWN, True)
    snapshot = cluster()
    snapshot.set_device_classes({"example.com/gpu"})
    fit, why = ask(snapshot, pod(requests={"example.com/gpu": "1"}))
    assert (fit, "example.com/gpu" in why) == (Fit.UNKNOWN, True)
    fit, _ = ask(snapshot, pod(requests={"example.com/fpga": "1"}))
    assert fit is Fit.NO


def test_a_thousand_labels() -> None:
    many = {f"example.com/l{i}": f"v{i}" for i in range(1000)}
    snapshot = cluster(node(labels=many | {HOST: "n0"}), pod("p", on="n0", meta={"labels": many}))
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]} for key, value in many.items()]
    pending = pod(
        "q",
        nodeSelector=many,
        affinity={
            "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}},
            "podAffinity": {REQUIRED: [{"topologyKey": HOST, "labelSelector": {"matchLabels": many}}]},
        },
    )
    assert ask(snapshot, pending)[0] is Fit.YES
    pending = msgspec.structs.replace(
        pending, spec=msgspec.structs.replace(pending.spec, node_selector=many | {"more": "x"})
    )
    assert ask(snapshot, pending)[0] is Fit.NO


def test_empty_objects() -> None:
    snapshot = Snapshot()
    snapshot.apply(Node())
    snapshot.apply(Pod())
    assert snapshot.verdict(Pod(), "").fit is Fit.NO  # a node without a name and without room
    assert snapshot.verdict(Pod(), "gone").findings[0].reason is Reason.NODE_ABSENT
    assert not snapshot.fits(Pod()).any()
    assert Snapshot().first_fit(pod()) is None
