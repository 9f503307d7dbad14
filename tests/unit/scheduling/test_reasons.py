"""Every reason is a sentence, and a verdict has all reasons with field and details."""

from __future__ import annotations

from typing import Any

from moorage.scheduling import Finding, Fit, Reason, Snapshot, Verdict

from .build import ZONE, apart, node, pod, spread


def test_reasons_are_distinct_and_readable() -> None:
    assert len({reason.code for reason in Reason}) == len(Reason) == len({reason.sentence for reason in Reason})
    for reason in Reason:
        assert reason.code == reason.code.lower().replace("_", "-")
        assert reason.sentence[0].islower()
        assert not reason.sentence.endswith(".")
        assert reason.definite or "not decidable here" in reason.sentence or "cannot be read" in reason.sentence


def test_an_undecidable_reason_never_makes_a_yes_nor_hides_a_no() -> None:
    unsure, sure = Finding(Reason.RESOURCE_CLAIM, "f"), Finding(Reason.TAINT, "g")
    assert Verdict.of([]).fit is Fit.YES
    assert Verdict.of([unsure]).fit is Fit.UNKNOWN
    assert Verdict.of([unsure, sure, sure]) == Verdict(Fit.NO, (unsure, sure))


def test_all_reasons_against_a_node_at_once() -> None:
    taint = {"key": "spot", "value": "1", "effect": "NoSchedule"}
    snapshot = Snapshot()
    snapshot.apply(node(taints=[taint], unschedulable=True, room={"cpu": "2", "memory": "1Gi", "pods": "1"}))
    snapshot.apply(node("n1", zone="b"))
    ports = [{"containerPort": 80, "hostPort": 80}]
    there: dict[str, Any] = {
        "containers": [{"name": "main", "ports": ports, "resources": {"requests": {"cpu": "1500m"}}}]
    }
    snapshot.apply(pod("web", on="n0", affinity=apart(ZONE), **there))
    pending = pod(
        "q",
        **there,
        nodeSelector={"disk": "ssd"},
        affinity=apart(),
        topologySpreadConstraints=spread(nodeAffinityPolicy="Ignore"),
        meta={"labels": {"app": "web"}},
    )
    verdict = snapshot.verdict(pending, "n0")
    assert verdict.fit is Fit.NO
    assert {finding.reason for finding in verdict.findings} == {
        Reason.NODE_UNSCHEDULABLE,
        Reason.TAINT,
        Reason.NODE_SELECTOR,
        Reason.HOST_PORT,
        Reason.TOO_MANY_PODS,
        Reason.RESOURCE,
        Reason.POD_ANTI_AFFINITY,
        Reason.OTHERS_ANTI_AFFINITY,
        Reason.SPREAD_SKEW,
    }
    text = str(verdict)
    for particular in (
        "spot=1:NoSchedule",
        "disk=ssd wanted",
        "0.0.0.0:80/TCP",
        "1 of 1",
        "cpu: 1500 needed, 500 free",
    ):
        assert particular in text
    assert "topology.kubernetes.io/zone=a has 1, the emptiest 0, maxSkew 1" in text
