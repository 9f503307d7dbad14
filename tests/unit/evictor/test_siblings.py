"""Pods that share a verdict each get the same one alone. Pods that differ in any field that is read share none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from moorage.evictor.candidates import PodVerdict, Policy, View, judge, names
from moorage.kube.compact import READ_PREFIXES, compact_pod
from moorage.objects.pod import MIRROR_ANNOTATION
from tests.unit.evictor.build import Json, budget, controller, merged, node, owner, pod, policy, view

ONE, TWO, JOB = owner("ReplicaSet", "one"), owner("ReplicaSet", "two"), owner("Job", "batch")
CLUSTER = (
    node("n1"),
    node("n2", metadata={"labels": {"pool": "a"}}),
    controller("ReplicaSet", "one", spec={"replicas": 1}),
    controller("ReplicaSet", "two", spec={"replicas": 2}),
    controller("ReplicaSet", "two", spec={"replicas": 2}, metadata={"namespace": "bank"}),
    controller("Job", "batch"),
)
POLICY = policy(
    {"nodeSelector": {"labelSelector": {"matchLabels": {"pool": "a"}}}, "settings": {"disposable": True}},
    {"podSelector": {"labelSelector": {"matchLabels": {"app": "x"}}}, "settings": {"disposable": True}},
    aggressive=True,
    drain_timeout=timedelta(minutes=1),
)
SPENT = budget(disruptionsAllowed=0)
SPENT["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
LISTED: Json = {"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "safe"}}}
FOR_A_DAY: Json = {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "25h"}}}


def volumes(*sources: Json) -> Json:
    return {"spec": {"volumes": list(sources)}}


def host_path(name: str) -> Json:
    return {"name": name, "hostPath": {"path": "/"}}


def claim(name: str) -> Json:
    return {"name": "data", "persistentVolumeClaim": {"claimName": name}}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod(of=ONE), pod(of=TWO), id="owner"),
        pytest.param(pod(of=ONE), pod(of=JOB), id="kind of owner"),
        pytest.param(pod(of=ONE), pod(of=ONE, on="n2"), id="rules of its node"),
        pytest.param(pod(of=TWO), pod(of=TWO, metadata={"namespace": "bank"}), id="namespace"),
        pytest.param(pod(of=ONE), pod(of=ONE, metadata={"labels": {"app": "x"}}), id="labels"),
        pytest.param(
            pod(of=ONE), pod(of=ONE, metadata={"annotations": {"autoscaling.cast.ai/disposable": "true"}}), id="marks"
        ),
        pytest.param(
            pod(of=ONE, **FOR_A_DAY),
            merged(pod(of=ONE, **FOR_A_DAY), {"metadata": {"creationTimestamp": "2025-12-01T00:00:00Z"}}),
            id="age",
        ),
        pytest.param(pod(), pod(metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}), id="deletion"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"priority": 2_000_000_000}), id="priority"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"priorityClassName": "system-node-critical"}), id="class"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"terminationGracePeriodSeconds": 61}), id="grace period"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"schedulerName": "volcano"}), id="scheduler"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"tolerations": [{"operator": "Exists"}]}), id="tolerations"),
        pytest.param(pod(of=ONE), pod(of=ONE, spec={"resourceClaims": [{"name": "gpu"}]}), id="resource claims"),
        pytest.param(pod(of=ONE), pod(of=ONE, status={"extendedResourceClaimStatus": {}}), id="made claims"),
        pytest.param(pod(of=ONE), pod(of=ONE, status={"phase": "Unknown"}), id="phase"),
        pytest.param(pod(of=TWO), pod(of=TWO, status={"conditions": []}), id="readiness"),
        pytest.param(pod(of=ONE), pod(of=ONE, **volumes(host_path("a"))), id="hostPath"),
        pytest.param(
            pod(of=ONE, **merged(LISTED, volumes(host_path("safe")))),
            pod(of=ONE, **merged(LISTED, volumes(host_path("other")))),
            id="name of a hostPath",
        ),
        pytest.param(
            pod(of=ONE, **merged(LISTED, volumes({"name": "safe", "emptyDir": {}}))),
            pod(of=ONE, **merged(LISTED, volumes({"name": "other", "emptyDir": {}}))),
            id="name of an emptyDir",
        ),
        pytest.param(pod(of=ONE, **volumes(claim("a"))), pod(of=ONE, **volumes(claim("b"))), id="claim"),
        pytest.param(pod(of=ONE), merged(pod(of=ONE), {"spec": {"volumes": "odd"}}), id="what cannot be read"),
    ],
)
def test_pods_that_differ_have_each_the_verdict_that_they_would_have_alone(first: Json, second: Json) -> None:
    budgets = (SPENT,) if first["metadata"]["ownerReferences"] == [TWO] else ()
    for pair in permutations((first, second)):
        named = [merged(each, {"metadata": {"name": f"p{index}"}}) for index, each in enumerate(pair)]
        seen = view(*CLUSTER, *budgets, *named)
        together = verdicts(replace(seen, pods=[compact_pod(each) for each in seen.pods]))
        alone = [found for each in seen.pods for found in verdicts(replace(seen, pods=[each]))]
        assert sorted(together) == sorted(alone)
        assert together[0].findings != together[1].findings, "the test would not notice"


def verdicts(seen: View, settings: Policy = POLICY) -> list[PodVerdict]:
    return [each for verdict in judge(seen, settings).values() for each in verdict.pods]


def test_caches_keep_every_annotation_that_is_read() -> None:
    for key in (
        *names.REMOVAL_DISABLED,
        *names.DISPOSABLE,
        names.SAFE_TO_EVICT,
        names.SAFE_LOCAL_VOLUMES,
        names.SCALE_DOWN_DISABLED,
        names.DO_NOT_DISRUPT,
        MIRROR_ANNOTATION,
    ):
        assert key.startswith(READ_PREFIXES), key


def test_siblings_are_judged_once() -> None:
    seen = view(*CLUSTER, *(pod(f"p{index}", of=TWO) for index in range(3)))
    found = verdicts(replace(seen, pods=[compact_pod(each) for each in seen.pods]))
    assert [each.key for each in found] == ["shop/p0", "shop/p1", "shop/p2"]
    assert found[0].findings is found[1].findings is found[2].findings


def test_random_names_of_volumes_are_no_matter() -> None:
    def token(name: str) -> dict[str, Any]:
        return volumes({"name": f"kube-api-access-{name}", "projected": {}}, {"name": f"tmp-{name}", "emptyDir": {}})

    seen = view(*CLUSTER, *(pod(f"p{name}", of=TWO, **token(name)) for name in "ab"))
    first, second = verdicts(replace(seen, pods=[compact_pod(each) for each in seen.pods]))
    assert first.findings is second.findings
