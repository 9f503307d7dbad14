"""Values of the closed charts work unchanged: the keys and defaults of all versions, and users' settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from moorage.files import values
from moorage.files.yamlfile import parse
from tools.generate.values import is_group, keys

ACCOUNT = {"create": True, "annotations": {}, "name": ""}
PINNER: dict[str, Any] = {
    "replicaCount": 2,
    "image": {"repository": "us-docker.pkg.dev/castai-hub/library/pod-pinner", "pullPolicy": "IfNotPresent", "tag": ""},
    "livenessProbe": {"periodSeconds": 10, "initialDelaySeconds": 5},
    "readinessProbe": {"periodSeconds": 10, "initialDelaySeconds": 5},
    "managedByCASTAI": True,
    "imagePullSecrets": [],
    "additionalEnv": {"PPROF_PORT": "6060", "ANTICIPATE_WORKER_READY_STATUS": True},
    "podAnnotations": {},
    "podLabels": {"test": "test"},
    "podSecurityContext": {},
    "securityContext": {
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 1000,
    },
    "service": {"type": "ClusterIP", "port": 8443},
    "resources": {"requests": {"cpu": "20m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
    "nodeSelector": {},
    "tolerations": [{"key": "scheduling.cast.ai/pod-pinning-preparing", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "NotIn", "values": ["windows"]}]}
                ]
            }
        }
    },
    "webhook": {"failurePolicy": "Ignore", "url": ""},
    "castai": {
        "apiURL": "https://api.cast.ai",
        "grpcURL": "grpc.cast.ai:443",
        "apiKey": "",
        "apiKeySecretRef": "castai-cluster-controller",
        "clusterID": "a24cd53c-0d56-4422-88e6-f82f78ef8f20",
        "clusterIdSecretKeyRef": {"name": "", "key": "CLUSTER_ID"},
    },
    "global": {
        "nameOverride": "",
        "fullnameOverride": "castai-pod-pinner",
        "commonLabels": {"faz": "baz"},
        "commonAnnotations": {"foo": "bar"},
        "serviceAccount": ACCOUNT,
        "castai": {"apiURL": "", "provider": "eks"},
        "rbac": {"clusterScoped": {"enabled": True}},
    },
    "envFrom": [{"secretRef": {"name": "castai"}}, {"configMapRef": {"name": "castai", "optional": True}}],
    "castai-pod-pinner-ext": {"enabled": True},
    "isTest": True,
}
OLD_PINNER: dict[str, Any] = {
    "namespace": "castai-agent",
    "commonLabels": {},
    "commonAnnotations": {},
    "nameOverride": "",
    "fullnameOverride": "",
    "serviceAccount": ACCOUNT,
    "service": {"type": "ClusterIP", "port": 443},
    "ingress": {"enabled": False, "className": "", "annotations": {}, "hosts": [{"host": "a"}], "tls": []},
    "resources": {},
    "autoscaling": {"enabled": False, "minReplicas": 1, "maxReplicas": 100, "targetCPUUtilizationPercentage": 80},
    "webhook": {"failurePolicy": "Ignore", "url": "", "port": 10250},
    "deploy": True,
    "api": {"key": "", "url": "https://api.cast.ai", "grpcUrl": "grpc.cast.ai:443", "clusterId": ""},
    "image": {"repository": "castai/pod-pinner"},
}
EVICTOR: dict[str, Any] = {
    "replicaCount": 1,
    "commonLabels": {},
    "commonAnnotations": {},
    "global": {"registry": "", "castai": {"apiKeySecretRef": ""}, "imagePullSecrets": []},
    "dryRun": False,
    "aggressiveMode": False,
    "managedByCASTAI": True,
    "scopedMode": False,
    "nodeGracePeriodMinutes": 5,
    "maxNodesToEvictPerCycle": 20,
    "minNodesToEvictPerCycle": 5,
    "targetNodePercentage": 10,
    "cycleInterval": "1m",
    "drainTimeout": "10m",
    "drainRollbackTimeout": "1m",
    "podEvictionFailureBackOff": "5s",
    "ignorePodDisruptionBudgets": False,
    "liveMigration": {"enabled": True, "useK8sClientCache": True},
    "woop": {"enabled": True, "useK8sClientCache": True},
    "podMutations": {"enabled": True},
    "leaderElection": {"enabled": True},
    "karpenterNodeCleanup": {"enabled": False},
    "softTainting": {"enabled": False},
    "kubernetesClient": {"rateLimiter": {"qps": 100, "burst": 200}},
    "updateStrategy": {"type": "Recreate"},
    "image": {"repository": "us-docker.pkg.dev/castai-hub/library/evictor", "pullPolicy": "IfNotPresent", "tag": ""},
    "imagePullSecrets": [],
    "nameOverride": "",
    "fullnameOverride": "castai-evictor",
    "rbac": {"enabled": True},
    "serviceAccount": ACCOUNT,
    "podAnnotations": {},
    "podLabels": {},
    "hostNetwork": {"enabled": False},
    "dnsPolicy": "",
    "securityContext": {"runAsNonRoot": True, "fsGroup": 1004, "runAsGroup": 1004, "runAsUser": 1004},
    "containerSecurityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "service": {"type": "ClusterIP", "port": 8080},
    "resources": {},
    "nodeSelector": {},
    "tolerations": [],
    "affinity": {},
    "customConfig": {},
    "configMapLabels": {},
    "additionalEnv": {},
    "apiKeySecretRef": "",
    "clusterVPA": {"repository": "registry.k8s.io/cpa/cpvpa", "enabled": True, "version": "v0.8.4"},
    "clusterIdConfigMapKeyRef": {"name": "castai-cluster-controller", "key": "CLUSTER_ID"},
    "clusterIdSecretKeyRef": {"name": "", "key": "CLUSTER_ID"},
    "overrideEnvFrom": False,
    "envFrom": [],
    "extraVolumes": [],
    "extraVolumeMounts": [],
    "openshift": {"scc": {"enabled": True, "priority": 5}},
    "crdUpgrade": {"enabled": True, "image": {"repository": "rancher/kubectl"}},
    "evictorEnabled": True,
    "forceDisableKarpenterMode": True,
    "emitNodeRelatedPodEvents": False,
    "arm64Supported": True,
    "windows": False,
    "pricingModel": {"enabled": False, "baseCPUCost": "7.0", "baseMemCost": "1.0", "spotDiscount": "0.5"},
}
OLD_EVICTOR: dict[str, Any] = {
    "aggressiveMode": False,
    "rbac": {"enabled": True, "volumes": {"enabled": True}},
    "KarpenterMode": {"enabled": False},
}


@pytest.mark.parametrize(
    ("chart", "content"),
    [
        ("castai-pod-pinner", PINNER),
        ("castai-pod-pinner", OLD_PINNER),
        ("castai-evictor", EVICTOR),
        ("castai-evictor", OLD_EVICTOR),
    ],
    ids=["pinner", "old pinner", "evictor", "old evictor"],
)
def test_published_values_are_taken(chart: str, content: dict[str, Any]) -> None:
    document = parse("values.yaml", yaml.safe_dump(content).encode())
    assert values.mistakes(chart, document) == []
    assert values.guess(document) == chart


@pytest.mark.parametrize(
    ("chart", "content"),
    [
        ("castai-pod-pinner", PINNER),
        ("castai-pod-pinner", OLD_PINNER),
        ("castai-evictor", EVICTOR),
        ("castai-evictor", OLD_EVICTOR),
    ],
    ids=["pinner", "old pinner", "evictor", "old evictor"],
)
def test_published_keys_are_marked(chart: str, content: dict[str, Any]) -> None:
    marked = {key.path for key in keys(values.schema_of(chart)) if key.schema.get("x-published")}
    ours_too = {("global", "imagePullSecrets")}
    for path in _paths(content, values.schema_of(chart)):
        assert path in marked | ours_too, path


def test_several_replicas_elect_a_leader() -> None:
    for key in ("replicas", "replicaCount"):
        content = {key: 3, "leaderElection": {"enabled": False}}
        (found,) = values.mistakes("castai-evictor", parse("values.yaml", yaml.safe_dump(content).encode()))
        assert found.full_sentence.startswith("leaderElection.enabled: is false and there are 3 replicas: ")
    for right in ({"leaderElection": {"enabled": False}}, {"replicas": 3}, {"replicas": 3, "leaderElection": None}):
        assert values.mistakes("castai-evictor", parse("values.yaml", yaml.safe_dump(right).encode())) == []


EVICTOR_IN_VAIN = {
    *("ignorePodDisruptionBudgets", "pricingModel.enabled", "kubernetesClient.rateLimiter.qps"),
    *("kubernetesClient.rateLimiter.burst", "clusterIdConfigMapKeyRef.name", "clusterIdConfigMapKeyRef.key"),
    *("clusterIdSecretKeyRef.name", "clusterIdSecretKeyRef.key", "liveMigration", "woop", "podMutations"),
    *("karpenterNodeCleanup", "hostNetwork", "apiKeySecretRef", "clusterVPA", "overrideEnvFrom"),
    *("openshift", "crdUpgrade", "forceDisableKarpenterMode", "image.repository"),
}


def test_every_published_key_of_the_evictor_acts_or_is_said_to_be_in_vain() -> None:
    document = parse("values.yaml", yaml.safe_dump(EVICTOR).encode())
    assert {".".join(map(str, each.path)) for each in values.notes("castai-evictor", document)} == EVICTOR_IN_VAIN


def _paths(content: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Keys of a file that the schema declares and that have a value."""
    for name, value in content.items():
        declared = schema["properties"].get(name)
        if declared is not None and is_group(declared):
            yield from _paths(value, declared, (*path, name))
        elif declared is not None:
            yield (*path, name)


def test_what_is_set_in_vain_is_said() -> None:
    document = parse("values.yaml", yaml.safe_dump({**OLD_PINNER, **PINNER}).encode())
    said = {".".join(map(str, each.path)) for each in values.notes("castai-pod-pinner", document)}
    assert said >= {
        "castai.apiURL",
        "castai.grpcURL",
        "image.repository",
        "ingress",
        "autoscaling",
        "api",
        "namespace",
        "castai-pod-pinner-ext",
        "isTest",
    }
    in_force = {"castai.clusterID", "replicaCount", "livenessProbe.periodSeconds", "deploy", "service.port"}
    assert not said & {*in_force, "webhook.failurePolicy", "webhook.url", "webhook.port"}
    (note,) = values.notes("castai-pod-pinner", parse("values.yaml", b"webhook: {failurePolicy: Fail}\n"))
    assert "counts as not set" in note.full_sentence


@pytest.mark.parametrize("value", [True, False, "true", "false"])
def test_forms_of_managed_by(value: object) -> None:
    document = parse("values.yaml", yaml.safe_dump({"managedByCASTAI": value}).encode())
    assert values.mistakes("castai-pod-pinner", document) == []


def test_nothing_means_not_given() -> None:
    text = (
        b"replicaCount:\nimage:\nresources: {limits:}\nnodeSelector: \nserviceAccount:\ningress:\ncastai: {apiKey:}\n"
    )
    assert values.mistakes("castai-pod-pinner", parse("values.yaml", text)) == []
    wrong = parse("values.yaml", b"nodeSelector: {a: }\nimagePullSecrets: [{name: }]\n")
    assert len(values.mistakes("castai-pod-pinner", wrong)) == 2
