"""What holds a pod besides its controller, the effect of disposable, and the limits of aggressive mode."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from moorage.evictor.candidates import Stance
from tests.unit.evictor.build import NAMESPACE, Json, controller, judged_pod, merged, names, owner, pod, policy

RS = owner("ReplicaSet", "web-1")
JOB = owner("Job", "batch")
TWO = controller("ReplicaSet", "web-1", spec={"replicas": 2})
ONE = controller("ReplicaSet", "web-1", spec={"replicas": 1})
AGGRESSIVE = policy(aggressive=True)
DISPOSABLE = {"metadata": {"annotations": {"autoscaling.cast.ai/disposable": "true"}}}
CORDON_TOLERATED: dict[str, Json] = {
    "tolerates everything": {"operator": "Exists"},
    "tolerates what keeps pods away": {"operator": "Exists", "effect": "NoSchedule"},
    "tolerates a cordon": {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
    "tolerates a cordon without a value": {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
}
LISTED = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"


def volume(name: str, **source: Any) -> Json:
    return {"name": name, **source}


def claim(name: str = "data", **spec: Any) -> Json:
    wanted = {"volumeName": "pv", **spec}
    return {"kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": wanted}


def persistent(**spec: Any) -> Json:
    return {"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": spec}


def reachable_from(*expressions: Json) -> Json:
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [each]} for each in expressions]}}


def on(key: str, *values: str) -> Json:
    return {"key": key, "operator": "In", "values": list(values)}


DATA = volume("data", persistentVolumeClaim={"claimName": "data"})


@pytest.mark.parametrize(
    ("change", "others", "reason", "says"),
    [
        pytest.param({"spec": {"resourceClaims": [{"name": "gpu"}]}}, (), "RESOURCE_CLAIM", "gpu", id="DRA claim"),
        pytest.param(
            {"status": {"extendedResourceClaimStatus": {"resourceClaimName": "made"}}},
            (),
            *("RESOURCE_CLAIM", "extended resource"),
            id="DRA claim that the scheduler made",
        ),
        pytest.param(
            {"spec": {"volumes": [volume("logs", hostPath={"path": "/var"})]}},
            (),
            *("LOCAL_VOLUME", "hostPath logs"),
            id="hostPath",
        ),
        pytest.param(
            {
                "metadata": {"annotations": {LISTED: "a, b"}},
                "spec": {"volumes": [volume(name, emptyDir={}) for name in "abc"]},
            },
            (),
            *("LOCAL_VOLUME", "emptyDir c"),
            id="an emptyDir that is not among the safe ones",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(), persistent(local={"path": "/disk"})),
            *("LOCAL_VOLUME", "PersistentVolume pv of claim data"),
            id="local volume",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(), persistent(hostPath={"path": "/disk"})),
            *("LOCAL_VOLUME", "pv"),
            id="a claim's hostPath",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(), persistent(csi={}, nodeAffinity=reachable_from(on("topology.topolvm.io/node", "n1")))),
            *("LOCAL_VOLUME", "pv"),
            id="a local driver's volume",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}}, (), "VOLUME_UNSEEN", "data does not exist", id="claim that is gone"
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(volumeName=None),),
            *("VOLUME_UNSEEN", "data has no volume"),
            id="unbound claim",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}}, (claim(),), "VOLUME_UNSEEN", "pv does not exist", id="volume that is gone"
        ),
        pytest.param(
            {"spec": {"terminationGracePeriodSeconds": 601}},
            (),
            *("GRACE_PERIOD", "terminationGracePeriodSeconds: 601, drainTimeout: 600 s"),
            id="grace period beyond drainTimeout",
        ),
        pytest.param({"spec": {"schedulerName": "volcano"}}, (), "OTHER_SCHEDULER", "volcano", id="another scheduler"),
        *(
            pytest.param({"spec": {"tolerations": [toleration]}}, (), "TOLERATES_CORDON", "tolerates", id=name)
            for name, toleration in CORDON_TOLERATED.items()
        ),
        pytest.param({"status": {"phase": "Unknown"}}, (), "PHASE_UNKNOWN", "phase Unknown", id="unknown phase"),
        pytest.param({"status": {"phase": ""}}, (), "PHASE_UNKNOWN", "it has no phase", id="no phase"),
        pytest.param(
            {},
            ({"kind": "Namespace", "metadata": {"name": NAMESPACE, "deletionTimestamp": "2026-01-01T11:00:00Z"}},),
            *("NAMESPACE_TERMINATING", NAMESPACE),
            id="terminating namespace",
        ),
    ],
)
def test_guards(change: Json, others: tuple[Json, ...], reason: str, says: str) -> None:
    guarded = pod(of=RS, **change)
    for settings in (policy(), AGGRESSIVE):
        found = judged_pod(guarded, TWO, *others, settings=settings)
        assert (found.stance, names(found)) == (Stance.HOLDS, [reason])
        assert says in str(found.findings[0])
    freed = judged_pod(merged(guarded, DISPOSABLE), TWO, *others)
    assert (freed.stance, names(freed)) == (Stance.MOVES, ["DISPOSABLE"])


def test_a_namespace_that_is_not_there() -> None:
    elsewhere = {"namespace": "gone"}
    found = judged_pod(pod(of=RS, metadata=elsewhere), merged(TWO, {"metadata": elsewhere}))
    assert (names(found), str(found.findings[0]).endswith("(there is no Namespace gone)")) == (
        ["NAMESPACE_UNSEEN"],
        True,
    )


@pytest.mark.parametrize(
    ("change", "others"),
    [
        pytest.param({"spec": {"volumes": [volume("tmp", emptyDir={})]}}, (), id="emptyDir"),
        pytest.param(
            {"spec": {"volumes": [volume("tmp", emptyDir={"medium": "Memory"})]}}, (), id="emptyDir in memory"
        ),
        pytest.param({"spec": {"volumes": [volume("own", ephemeral={"volumeClaimTemplate": {}})]}}, (), id="ephemeral"),
        pytest.param({"spec": {"volumes": [volume("config", configMap={"name": "a"})]}}, (), id="ConfigMap"),
        pytest.param({"spec": {"volumes": None}}, (), id="volumes are null"),
        pytest.param(
            {
                "metadata": {"annotations": {LISTED: "logs,tmp"}},
                "spec": {"volumes": [volume("logs", hostPath={"path": "/var"}), volume("tmp", emptyDir={})]},
            },
            (),
            id="local volumes that are all safe",
        ),
        pytest.param(
            {"metadata": {"annotations": {LISTED: "data"}}, "spec": {"volumes": [DATA]}},
            (claim(), persistent(local={"path": "/disk"})),
            id="a local PersistentVolume that is safe",
        ),
        pytest.param({"spec": {"volumes": [DATA]}}, (claim(), persistent(csi={})), id="a volume of the network"),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(), persistent(csi={}, nodeAffinity=reachable_from(on("topology.kubernetes.io/zone", "a")))),
            id="a volume of a zone",
        ),
        pytest.param(
            {"spec": {"volumes": [DATA]}},
            (claim(), persistent(csi={}, nodeAffinity=reachable_from(on("kubernetes.io/hostname", "n1", "n2")))),
            id="a volume of two nodes",
        ),
        pytest.param({"spec": {"terminationGracePeriodSeconds": 600}}, (), id="grace period of drainTimeout"),
        pytest.param({"spec": {"terminationGracePeriodSeconds": None}}, (), id="no grace period"),
        pytest.param({"spec": {"schedulerName": ""}}, (), id="no scheduler"),
        pytest.param(
            {
                "spec": {
                    "tolerations": [
                        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoExecute"},
                        {"operator": "Exists", "effect": "PreferNoSchedule"},
                    ]
                }
            },
            (),
            id="tolerations that do not reach a cordon",
        ),
        pytest.param({"status": {"phase": "Pending"}}, (), id="a pod that is starting"),
        pytest.param(
            {"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}}}, (), id="safe"
        ),
    ],
)
def test_what_does_not_hold(change: Json, others: tuple[Json, ...]) -> None:
    found = judged_pod(pod(of=RS, **change), TWO, *others)
    assert (found.stance, names(found)) == (Stance.MOVES, ["REPLICATED"])


def test_a_longer_drain_timeout_lets_pods_go_that_take_longer() -> None:
    slow = pod(of=RS, spec={"terminationGracePeriodSeconds": 3600})
    assert judged_pod(slow, TWO, settings=policy(drain_timeout=timedelta(hours=1))).stance is Stance.MOVES


def test_safe_to_evict_true_changes_nothing() -> None:
    safe = {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}}
    assert names(judged_pod(pod(metadata=safe))) == ["BARE_POD"]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false", "SAFE_TO_EVICT"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "False", "SAFE_TO_EVICT"),
        ("cluster-autoscaler.kubernetes.io/safe-to-evict", "no", "MARK_UNREADABLE"),
        ("karpenter.sh/do-not-disrupt", "true", "DO_NOT_DISRUPT"),
        ("karpenter.sh/do-not-disrupt", "24h1s", "DO_NOT_DISRUPT"),
        ("karpenter.sh/do-not-disrupt", "23h59m", ""),
        ("karpenter.sh/do-not-disrupt", "false", ""),
        ("karpenter.sh/do-not-disrupt", "5 minutes", "MARK_UNREADABLE"),
    ],
)
def test_marks_for_other_autoscalers_outweigh_disposable(key: str, value: str, reason: str) -> None:
    """Nobody who protects a pod from one autoscaler means that another may have it."""
    marked = pod(of=RS, metadata={"annotations": {key: value}})
    expected = [reason] if reason else ["REPLICATED"]
    assert names(judged_pod(marked, TWO)) == expected
    assert names(judged_pod(merged(marked, DISPOSABLE), TWO)) == ([reason] if reason else ["DISPOSABLE"])


def test_a_time_of_protection_needs_a_beginning() -> None:
    marked = {"creationTimestamp": None, "annotations": {"karpenter.sh/do-not-disrupt": "5m"}}
    assert names(judged_pod(pod(of=RS, metadata=marked), TWO)) == ["MARK_UNREADABLE"]


def test_every_reason_is_told_at_once() -> None:
    found = judged_pod(
        pod(
            metadata={"annotations": {"autoscaling.cast.ai/removal-disabled": "true"}},
            spec={"schedulerName": "volcano", "resourceClaims": [{"name": "gpu"}]},
        )
    )
    assert names(found) == ["REMOVAL_DISABLED", "RESOURCE_CLAIM", "OTHER_SCHEDULER", "BARE_POD"]


CRITICAL = {"priorityClassName": "system-cluster-critical", "priority": 2_000_000_000}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"metadata": {"labels": {"app.kubernetes.io/part-of": "moorage"}}}, "OURSELVES", id="Moorage"),
        pytest.param(
            {"metadata": {"labels": {"app.kubernetes.io/name": "castai-pod-pinner"}}}, "OURSELVES", id="the closed one"
        ),
        pytest.param({"spec": CRITICAL}, "SYSTEM_CRITICAL", id="critical for the cluster"),
        pytest.param({"spec": {"priority": 2_000_001_000}}, "SYSTEM_CRITICAL", id="critical by its priority"),
        pytest.param(
            {"spec": {"priorityClassName": "system-node-critical"}}, "SYSTEM_CRITICAL", id="critical by its class"
        ),
        pytest.param(
            {"metadata": {"labels": {"app.kubernetes.io/name": "aws-cluster-autoscaler"}}},
            "CLUSTER_AUTOSCALER",
            id="the chart of cluster-autoscaler",
        ),
        pytest.param({"metadata": {"labels": {"app": "cluster-autoscaler"}}}, "CLUSTER_AUTOSCALER", id="its manifest"),
        pytest.param({"metadata": {"labels": {"app.kubernetes.io/name": "karpenter"}}}, "KARPENTER", id="Karpenter"),
        pytest.param({"spec": {"volumes": [DATA]}}, "CLAIM", id="a claim"),
    ],
)
def test_aggressive_mode_never_reaches(change: Json, reason: str) -> None:
    by_rule = policy({"podSelector": {"namespace": NAMESPACE}, "settings": {"aggressive": True}})
    others = (claim(), persistent(csi={}))
    single = pod(of=RS, **change)
    assert names(judged_pod(single, ONE, *others)) == ["SINGLE_REPLICA"]
    for settings in (AGGRESSIVE, by_rule):
        assert names(judged_pod(single, ONE, *others, settings=settings)) == [reason]
        assert names(judged_pod(pod(of=JOB, **change), controller("Job", "batch"), *others, settings=settings)) == [
            reason
        ]
        assert names(judged_pod(single, TWO, *others, settings=settings)) == ["REPLICATED"], "only single replicas"
        assert names(judged_pod(merged(single, DISPOSABLE), ONE, *others, settings=settings)) == ["DISPOSABLE"]


def test_aggressive_mode_knows_autoscalers_by_their_controllers_too() -> None:
    for name, reason in (("cluster-autoscaler", "CLUSTER_AUTOSCALER"), ("karpenter", "KARPENTER")):
        things = (
            controller("ReplicaSet", "web-1", of=owner("Deployment", name), spec={"replicas": 1}),
            controller("Deployment", name, spec={"replicas": 1}),
        )
        assert names(judged_pod(pod(of=RS), *things, settings=AGGRESSIVE)) == [reason]


def test_single_replicas_of_kube_system() -> None:
    there: Json = {"metadata": {"namespace": "kube-system"}}
    namespace = {"kind": "Namespace", "metadata": {"name": "kube-system"}}
    single, two, job = pod(of=RS, **there), merged(TWO, there), controller("Job", "batch", **there)
    assert names(judged_pod(single, merged(ONE, there), namespace)) == ["SINGLE_REPLICA"]
    assert names(judged_pod(single, merged(ONE, there), namespace, settings=AGGRESSIVE)) == ["KUBE_SYSTEM"]
    assert names(judged_pod(single, two, namespace, settings=AGGRESSIVE)) == ["REPLICATED"]
    assert names(judged_pod(pod(of=JOB, **there), job, namespace, settings=AGGRESSIVE)) == ["AGGRESSIVE_JOB"]


def disruptions(action: str = "Ignore", status: str | None = "True") -> Json:
    condition = {"type": "DisruptionTarget", **({"status": status} if status else {})}
    return {"action": action, "onPodConditions": [condition]}


def exit_codes(action: str) -> Json:
    return {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}


def failure_policy(*rules: Json) -> Json:
    return {"backoffLimit": 0, "podFailurePolicy": {"rules": list(rules)}}


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        pytest.param({}, {}, "", id="nothing said: six retries"),
        pytest.param({"backoffLimit": 0}, {}, "JOB_RETRIES", id="no retry"),
        pytest.param({"backoffLimit": 1}, {"active": 1}, "", id="one retry left"),
        pytest.param({"backoffLimit": 1}, {"active": 1, "failed": 1}, "JOB_RETRIES", id="no retry left"),
        pytest.param({"parallelism": 3}, {"active": 3, "failed": 3}, "", id="a retry for each of its pods"),
        pytest.param({"parallelism": 3}, {"active": 3, "failed": 4}, "JOB_RETRIES", id="not for all of its pods"),
        pytest.param(failure_policy(disruptions()), {}, "", id="evictions are ignored"),
        pytest.param(failure_policy(disruptions(status=None)), {}, "", id="ignored, with the default status"),
        pytest.param(failure_policy(exit_codes("Ignore"), disruptions()), {}, "", id="after another Ignore"),
        pytest.param(failure_policy(exit_codes("FailJob"), disruptions()), {}, "JOB_RETRIES", id="after a FailJob"),
        pytest.param(failure_policy(exit_codes("Count"), disruptions()), {}, "JOB_RETRIES", id="after a Count"),
        pytest.param(failure_policy(disruptions("Count")), {}, "JOB_RETRIES", id="evictions count"),
        pytest.param(failure_policy(disruptions(status="False")), {}, "JOB_RETRIES", id="another status"),
        pytest.param({"podFailurePolicy": None, "backoffLimit": 0}, {}, "JOB_RETRIES", id="the policy is null"),
        pytest.param(
            {"completionMode": "Indexed", "backoffLimitPerIndex": 3}, {}, "JOB_RETRIES", id="retries of each index"
        ),
        pytest.param(
            {"completionMode": "Indexed", "parallelism": 4, "completions": 4}, {}, "GANG", id="all indexes at once"
        ),
        pytest.param({"completionMode": "Indexed", "parallelism": 2, "completions": 4}, {}, "", id="one by one"),
        pytest.param({"completionMode": "Indexed", "parallelism": 1, "completions": 1}, {}, "", id="one index"),
        pytest.param({"parallelism": 2, "completions": 2}, {}, "", id="not indexed"),
    ],
)
def test_jobs_in_aggressive_mode(spec: Json, status: Json, reason: str) -> None:
    things = (pod(of=JOB), controller("Job", "batch", spec=spec, status=status))
    assert names(judged_pod(*things)) == ["JOB"]
    assert names(judged_pod(*things, settings=AGGRESSIVE)) == [reason or "AGGRESSIVE_JOB"]


@pytest.mark.parametrize("label", ["pod-group.scheduling.sigs.k8s.io", "jobset.sigs.k8s.io/jobset-name"])
def test_gangs_stay_together(label: str) -> None:
    member = pod(of=JOB, metadata={"labels": {label: "training"}})
    found = judged_pod(member, controller("Job", "batch"), settings=AGGRESSIVE)
    assert names(found) == ["GANG"]
    assert f"{label}=training" in str(found.findings[0])
    assert judged_pod(merged(member, DISPOSABLE), controller("Job", "batch")).stance is Stance.MOVES
