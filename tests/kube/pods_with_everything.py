"""Pods that together use every field that Moorage reads, on a real API server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from tests.kube.support import placeholder, pod

Json = dict[str, Any]

COUNT = 4

_TIME = "2026-01-02T03:04:05Z"
_OVERHEAD = {"cpu": "250m", "memory": "120Mi"}
_SELECTOR = {
    "matchLabels": {"app": "web", "tier": "front"},
    "matchExpressions": [{"key": "canary", "operator": "NotIn", "values": ["yes", "maybe"]}],
}
_POD_TERM = {
    "labelSelector": _SELECTOR,
    "namespaces": ["one", "two"],
    "namespaceSelector": {},
    "topologyKey": "topology.kubernetes.io/zone",
    "matchLabelKeys": ["pod-template-hash"],
    "mismatchLabelKeys": ["revision"],
}
_POD_TERMS = {
    "requiredDuringSchedulingIgnoredDuringExecution": [_POD_TERM],
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": _POD_TERM}],
}
_NODE_TERM = {
    "matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}],
    "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
}
_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_NODE_TERM]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference": _NODE_TERM}],
    },
    "podAffinity": _POD_TERMS,
    "podAntiAffinity": _POD_TERMS,
}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_VOLUMES = [
    {"name": "claim", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
    {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": _CLAIM}}},
    {"name": "csi", "csi": {"driver": "csi.example.com"}},
    {"name": "gce", "gcePersistentDisk": {"pdName": "disk", "readOnly": True}},
    {"name": "aws", "awsElasticBlockStore": {"volumeID": "vol-1"}},
    {
        "name": "iscsi",
        "iscsi": {"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2026-01.com.example:a", "lun": 0, "readOnly": True},
    },
    {"name": "rbd", "rbd": {"monitors": ["10.0.0.1:6789"], "image": "image", "pool": "fast", "readOnly": True}},
    {"name": "azure-disk", "azureDisk": {"diskName": "d", "diskURI": "https://example.com/d"}},
    {"name": "azure-file", "azureFile": {"secretName": "s", "shareName": "share"}},
    {"name": "cinder", "cinder": {"volumeID": "v"}},
    {"name": "vsphere", "vsphereVolume": {"volumePath": "[store] a"}},
    {"name": "portworx", "portworxVolume": {"volumeID": "v"}},
    {"name": "host", "hostPath": {"path": "/var/log"}},
    {"name": "config", "configMap": {"name": "config"}},
    {"name": "scratch", "emptyDir": {}},
]
_CONTAINER = {
    "name": "main",
    "image": "registry.invalid/main:1",
    "resources": {"requests": {"cpu": "500m", "memory": "1.5Gi"}, "limits": {"cpu": "1"}},
    "ports": [{"containerPort": 53, "hostPort": 5353, "protocol": "UDP", "hostIP": "127.0.0.1"}, {"containerPort": 80}],
    "restartPolicy": "Never",
    "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
    "env": [{"name": "A", "value": "b"}],
    "livenessProbe": {"httpGet": {"port": "web", "path": "/"}},
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
}
_DEVICES = {
    "resourceClaimName": "made-for-it",
    "requestMappings": [{"containerName": "main", "resourceName": "cpu", "requestName": "request"}],
}
_STATUS = {
    "phase": "Running",
    "reason": "Reason",
    "message": "what há😀ppened",
    "startTime": _TIME,
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "R", "message": "m", "lastTransitionTime": _TIME},
        {"type": "Initialized", "status": "True"},
    ],
    "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}},
    "allocatedResources": {"cpu": "2"},
    "containerStatuses": [
        {
            "name": "main",
            "image": "registry.invalid/main:1",
            "imageID": "sha256:0",
            "ready": True,
            "restartCount": 3,
            "state": {"running": {"startedAt": _TIME}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": _TIME}},
            "allocatedResources": {"cpu": "500m"},
            "resources": {"requests": {"cpu": "500m"}},
        },
        {
            "name": "waits",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        },
    ],
    "initContainerStatuses": [
        {
            "name": "init",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": _TIME, "finishedAt": _TIME}},
        }
    ],
}


def _rich(runtime_class: str, priority_class: str) -> Json:
    """A pod with a scheduling gate and all scheduling constraints."""
    return {
        "metadata": {
            "generateName": "rich-",
            "labels": {"app": "web", "pod-template-hash": "abc", "revision": "1"},
            "annotations": {"moorage.dev/x": "é", "karpenter.sh/do-not-disrupt": "true", "checksum/config": "x" * 500},
            "finalizers": ["example.com/hold"],
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u1", "controller": True},
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "u2"},
            ],
        },
        "spec": {
            "schedulerName": "nobody",
            "schedulingGates": [{"name": "example.com/gate"}],
            "priorityClassName": priority_class,
            "os": {"name": "linux"},
            "runtimeClassName": runtime_class,
            "terminationGracePeriodSeconds": 0,
            "hostUsers": False,
            "automountServiceAccountToken": False,
            "nodeSelector": {"disk": "ssd", "arch": "amd64"},
            "affinity": _AFFINITY,
            "tolerations": [
                {"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 0},
                {"operator": "Exists"},
            ],
            "topologySpreadConstraints": [
                {
                    "maxSkew": 2,
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": _SELECTOR,
                    "minDomains": 2,
                    "nodeAffinityPolicy": "Ignore",
                    "nodeTaintsPolicy": "Honor",
                    "matchLabelKeys": ["pod-template-hash"],
                }
            ],
            "volumes": _VOLUMES,
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpus"}],
            "resources": {"requests": {"cpu": "3", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            "initContainers": [
                {"name": "init", "image": "registry.invalid/init:1"},
                {"name": "sidecar", "image": "registry.invalid/sidecar:1", "restartPolicy": "Always"},
            ],
            "containers": [_CONTAINER],
        },
    }


@asynccontextmanager
async def created(client: Client, namespace: str, node: str) -> AsyncIterator[None]:
    """Create the pods. At the end all cluster-scoped objects are removed.

    Args:
        client: an administrator's.
        namespace: for the pods; cluster-scoped objects are named after it.
        node: name of a node to make and to bind to.
    """
    for path, body in (
        ("/apis/node.k8s.io/v1/runtimeclasses", {"handler": "sandbox", "overhead": {"podFixed": _OVERHEAD}}),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 1000, "preemptionPolicy": "Never"}),
    ):
        await _ask(client, "POST", path, {"metadata": {"name": namespace}, **body})
    rich: Pod | None = None
    try:
        await client.create(resources.NODES, placeholder(node))
        rich = await client.create(resources.PODS, _rich(namespace, namespace), namespace)
        status = {"nominatedNodeName": "elsewhere", "extendedResourceClaimStatus": _DEVICES}
        await _ask(client, "PATCH", resources.PODS.path(namespace, rich.metadata.name, "status"), {"status": status})
        await client.create(resources.PODS, pod("token", automountServiceAccountToken=True), namespace)
        bound = await _bound(client, namespace, node, "bound", hostNetwork=True, terminationGracePeriodSeconds=45)
        await client.delete(resources.PODS, "bound", namespace, uid=bound.metadata.uid)
        await _bound(client, namespace, node, "ended", restartPolicy="Never")
        yield
    finally:
        if rich is not None:
            no_finalizers = {"metadata": {"finalizers": None}}
            await client.patch(
                resources.PODS, rich.metadata.name, namespace, uid=rich.metadata.uid, changes=no_finalizers
            )
        for path in ("/apis/node.k8s.io/v1/runtimeclasses", "/apis/scheduling.k8s.io/v1/priorityclasses"):
            await _ask(client, "DELETE", f"{path}/{namespace}")


async def _bound(client: Client, namespace: str, node: str, name: str, **spec: Any) -> Pod:
    """A pod on a node whose kubelet has reported."""
    made = await client.create(resources.PODS, pod(name, schedulerName="nobody", **spec), namespace)
    await client.bind(name, namespace, uid=made.metadata.uid, node=node)
    await _ask(client, "PATCH", resources.PODS.path(namespace, name, "status"), {"status": _STATUS})
    return made


async def _ask(client: Client, method: str, path: str, body: Json | None = None) -> None:
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    payload = None if body is None else json.dumps(body).encode()
    await client.transport.request(method, path, body=payload, content_type=content_type)
