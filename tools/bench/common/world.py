"""The objects of the API server during a benchmark: nodes and pods as in production clusters.

Sizes matter here. A pod has what a chart's pod of a service has (two containers with probes, environment and mounts,
tolerations, affinity on a third, a checksum annotation of 1 kB): 3 to 4 kB as it is posted. The API server adds
defaults and managedFields as always: 10 kB as it is read.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

NAMESPACE = "bench"
CONTROLLERS = 120
_ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
_ROOT = uuid.UUID("6f1d7b0e-2c55-4f0a-9f7e-0c6a4a1f3b52")

Json = dict[str, Any]

_RESOURCES = {
    "server": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
    "proxy": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
}


def node(index: int) -> Json:
    """A node as a cloud's kubelet registers it.

    Args:
        index: number of the node; its name is `node_name(index)`.

    Returns:
        A Node with status, as `POST /api/v1/nodes` takes it.
    """
    name, zone = node_name(index), _ZONES[index % len(_ZONES)]
    capacity = {"cpu": "16", "memory": "64825Mi", "pods": "110", "ephemeral-storage": "83873772Ki"}
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": name,
                "node.kubernetes.io/instance-type": "m6i.4xlarge",
                "topology.kubernetes.io/zone": zone,
                "topology.kubernetes.io/region": "eu-west-1",
                "provisioner.cast.ai/managed-by": "cast.ai",
            },
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"providerID": f"aws:///{zone}/i-{index:017x}"},
        "status": {
            "capacity": capacity,
            "allocatable": capacity | {"cpu": "15890m", "memory": "57691Mi"},
            "conditions": [
                _condition(kind, "True" if kind == "Ready" else "False", 0)
                for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
            ],
            "nodeInfo": {
                "machineID": uuid.uuid5(_ROOT, name).hex,
                "systemUUID": str(uuid.uuid5(_ROOT, name)),
                "bootID": str(uuid.uuid5(_ROOT, name + "boot")),
                "kernelVersion": "6.1.0",
                "osImage": "Linux",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.36.3",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [
                {"names": [f"registry.example/team/service-{i}:1.{i}.0"], "sizeBytes": 80_000_000 + i}
                for i in range(20)
            ],
        },
    }


def node_name(index: int) -> str:
    """The name of a node."""
    return f"ip-10-{index >> 8 & 255}-{index & 255}-10.eu-west-1.compute.internal"


def pod_name(index: int) -> str:
    """The name of a pod, shaped like a ReplicaSet's pod."""
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    return f"{_service(index)}-7d9c5b8f6d-{digest[:5]}{index}"


def pod(index: int, nodes: int) -> Json:
    """A bound pod of one of 120 services.

    Args:
        index: number of the pod; its name is `pod_name(index)`.
        nodes: number of nodes.

    Returns:
        A Pod without status, as `POST .../pods` takes it.
    """
    service = _service(index)
    owner = str(uuid.uuid5(_ROOT, service))
    spec: Json = {
        "nodeName": node_name(index % nodes),
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "priority": 0,
        "containers": [_container(service, main=True), _container(service, main=False)],
        "tolerations": [
            {"key": "scheduling.cast.ai/spot", "operator": "Exists"},
            {"key": "dedicated", "operator": "Equal", "value": service, "effect": "NoSchedule"},
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": service}},
            {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": service}},
            }
        ],
    }
    if index % CONTROLLERS % 3 == 0:
        spec["affinity"] = _affinity(service)
    return {
        "metadata": {
            "name": pod_name(index),
            "generateName": f"{service}-7d9c5b8f6d-",
            "labels": {
                "app.kubernetes.io/name": service,
                "app.kubernetes.io/instance": "production",
                "app.kubernetes.io/part-of": "shop",
                "pod-template-hash": "7d9c5b8f6d",
            },
            "annotations": {
                "checksum/config": hashlib.sha512(service.encode()).hexdigest() * 8,
                "prometheus.io/scrape": "true",
                "prometheus.io/port": "9102",
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"{service}-7d9c5b8f6d",
                    "uid": owner,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }


def stored_pod(index: int, turn: int, nodes: int, template: Json) -> Json:
    """A pod with status as the API server stores it: a copy of another pod with its own names and times.

    Args:
        index: number of the pod.
        turn: number of status reports so far.
        nodes: number of nodes.
        template: a pod of the same service from the API server.

    Returns:
        The whole object without resourceVersion, as etcd holds it.
    """
    metadata = template["metadata"] | {"name": pod_name(index), "uid": str(uuid.uuid5(_ROOT, f"pod{index}"))}
    del metadata["resourceVersion"]
    status = template["status"] | pod_status(index, turn)["status"]
    status |= {"hostIPs": [{"ip": status["hostIP"]}], "podIPs": [{"ip": status["podIP"]}]}
    spec = template["spec"] | {"nodeName": node_name(index % nodes)}
    return template | {"metadata": metadata, "spec": spec, "status": status}


def pod_status(index: int, turn: int) -> Json:
    """A kubelet's status report of a pod.

    Args:
        index: number of the pod.
        turn: number of the report; times, readiness and restarts follow from it.

    Returns:
        A merge patch for `.../pods/NAME/status`.
    """
    ready = turn % 2 == 0
    started = _time(index + turn)
    return {
        "status": {
            "phase": "Running",
            "hostIP": f"10.{index >> 8 & 255}.{index & 255}.10",
            "podIP": f"10.{64 + (index >> 16)}.{index >> 8 & 255}.{index & 255}",
            "startTime": _time(index),
            "conditions": [
                _condition("PodReadyToStartContainers", "True", index),
                _condition("Initialized", "True", index),
                _condition("Ready", str(ready), index + turn),
                _condition("ContainersReady", str(ready), index + turn),
                _condition("PodScheduled", "True", index),
            ],
            "containerStatuses": [
                {
                    "name": name,
                    "image": f"registry.example/team/{name}:1.4.2",
                    "imageID": f"registry.example/team/{name}@sha256:{hashlib.sha256(name.encode()).hexdigest()}",
                    "containerID": f"containerd://{hashlib.sha256(f'{name}{index}{turn}'.encode()).hexdigest()}",
                    "ready": ready,
                    "started": True,
                    "restartCount": turn // 2,
                    "allocatedResources": _RESOURCES[name]["requests"],
                    "resources": _RESOURCES[name],
                    "state": {"running": {"startedAt": started}},
                    "lastState": {},
                }
                for name in ("server", "proxy")
            ],
        }
    }


def _service(index: int) -> str:
    return f"service-{index % CONTROLLERS:03}"


def _time(offset: int) -> str:
    """A time of an earlier day, so that replays can shift it by replacing the day."""
    return f"2026-01-01T{offset // 3600 % 24:02}:{offset // 60 % 60:02}:{offset % 60:02}Z"


def _condition(kind: str, status: str, offset: int) -> Json:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": _time(offset)}


def _container(service: str, *, main: bool) -> Json:
    name, port = ("server", 8080) if main else ("proxy", 15001)
    probe = {"httpGet": {"path": "/healthz", "port": port}, "periodSeconds": 10}
    probes = {"readinessProbe": probe} | ({"livenessProbe": probe | {"failureThreshold": 6}} if main else {})
    return {
        "name": name,
        "image": f"registry.example/team/{name}:1.4.2",
        "args": ["--listen", f":{port}", "--service", service],
        "ports": [{"name": "http", "containerPort": port}],
        "env": [
            {"name": "SERVICE", "value": service},
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": _RESOURCES[name],
        **probes,
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/service", "readOnly": True},
            {"name": "cache", "mountPath": "/var/cache/service"},
        ],
    }


def _affinity(service: str) -> Json:
    arch = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [arch]}]}
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": service}},
                    },
                }
            ]
        },
    }
