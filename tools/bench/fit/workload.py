"""A cluster and its pods from a seed, with shapes as in real clusters: JSON objects of the API.

Nodes come in three zones and four pools (general, spot, arm, gpu). Pods belong to workloads of very different sizes.
Some spread, some keep apart, some have affinity to others, and some have volumes, host ports, sidecars or GPUs. Pods
come in random order, as after a drain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

ZONE, HOST, POOL = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "example.com/pool"
ARCH = "kubernetes.io/arch"
ZONES = ("eu-1a", "eu-1b", "eu-1c")
_SIZES = ((8, 30), (16, 61), (16, 122), (32, 122))
_REQUESTS = (("100m", "128Mi"), ("250m", "256Mi"), ("250m", "1Gi"), ("500m", "512Mi"), ("500m", "2Gi"), ("1", "1Gi"))
_SPOT = {"key": "example.com/spot", "value": "true", "effect": "NoSchedule"}
_GPU = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
_DAEMONS = 4
_KINDS = (
    ("plain", 40),
    ("selector", 8),
    ("affinity", 6),
    ("zone-spread", 14),
    ("host-spread", 3),
    ("apart", 7),
    ("near", 3),
    ("spot", 8),
    ("gpu", 1),
    ("port", 2),
    ("stateful", 5),
    ("sidecar", 3),
)


def nodes(count: int, seed: int = 1) -> list[Object]:
    """The nodes of a cluster.

    Args:
        count: number of nodes.
        seed: equal seeds give equal nodes.

    Returns:
        Node objects.
    """
    chance = random.Random(seed)
    made = []
    for number in range(count):
        pool = chance.choices(("general", "spot", "arm", "gpu"), (80, 12, 5, 3))[0]
        cpu, memory = chance.choice(_SIZES)
        labels = {
            HOST: f"node-{number:05}",
            ZONE: ZONES[number % 3],
            "topology.kubernetes.io/region": "eu-1",
            "node.kubernetes.io/instance-type": f"m{cpu}x{memory}",
            ARCH: "arm64" if pool == "arm" else "amd64",
            "kubernetes.io/os": "linux",
            POOL: pool,
        }
        room = {"cpu": f"{cpu * 1000 - 80}m", "memory": f"{memory}Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        spec: Object = {}
        if pool == "gpu":
            room["nvidia.com/gpu"] = "4"
            spec["taints"] = [_GPU]
        elif pool == "spot":
            spec["taints"] = [_SPOT]
        metadata = {"name": f"node-{number:05}", "labels": labels}
        made.append({"metadata": metadata, "spec": spec, "status": {"allocatable": room, "capacity": room}})
    return made


def pods(count: int, node_count: int, seed: int = 2) -> Iterator[Object]:
    """Pods of many workloads, in random order.

    Args:
        count: number of pods, but at least those of the DaemonSets.
        node_count: number of nodes. Workloads that keep apart stay smaller.
        seed: equal seeds give equal pods.

    Yields:
        Pod objects without a node.
    """
    chance = random.Random(seed)
    kinds = ["daemon"] * _DAEMONS
    daemons = [(workload, node) for workload in range(_DAEMONS) for node in range(node_count)]
    count = max(0, count - len(daemons))
    slots: list[tuple[int, int]] = []
    while len(slots) < count:
        kind = chance.choices([name for name, _ in _KINDS], [weight for _, weight in _KINDS])[0]
        size = min(int(chance.lognormvariate(2.5, 1.2)) + 1, 400, count - len(slots))
        if kind in ("apart", "host-spread", "port"):
            size = min(size, max(1, node_count // 20))
        elif kind in ("stateful", "gpu"):
            size = min(size, 9)
        slots += [(len(kinds), replica) for replica in range(size)]
        kinds.append(kind)
    seeds = [chance.getrandbits(32) for _ in kinds]
    chance.shuffle(slots)
    for workload, replica in (*daemons, *slots):
        yield pod(workload, replica, kinds[workload], random.Random(seeds[workload]))


def pod(workload: int, replica: int, kind: str, chance: random.Random) -> Object:
    """A replica of a workload. The same ``chance`` makes the same template."""
    name = f"w{workload:05}"
    labels = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": f"team{workload % 40}",
        "pod-template-hash": "h",
    }
    cpu, memory = chance.choice(_REQUESTS)
    container: Object = {
        "name": "main",
        "image": f"registry.example/{name}",
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
    }
    spec: Object = {
        "containers": [container],
        "volumes": [{"name": f"kube-api-access-{replica:05}", "projected": {"sources": []}}],
        "tolerations": [
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            },
        ],
    }
    metadata = {"name": f"{name}-{replica:05}", "namespace": f"team-{workload % 40}", "labels": labels}
    _shape(kind, spec, labels, workload, replica, chance)
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def _shape(kind: str, spec: Object, labels: Object, workload: int, replica: int, chance: random.Random) -> None:
    own = {"matchLabels": {"app.kubernetes.io/name": labels["app.kubernetes.io/name"]}}
    container = spec["containers"][0]
    if kind == "selector":
        spec["nodeSelector"] = {ARCH: chance.choice(("amd64", "amd64", "arm64"))}
    elif kind == "affinity":
        expression = {"key": ZONE, "operator": "In", "values": [chance.choice(ZONES), chance.choice(ZONES)]}
        pool = {"key": POOL, "operator": "NotIn", "values": ["arm"]}
        required = {"nodeSelectorTerms": [{"matchExpressions": [expression, pool]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    elif kind in ("zone-spread", "host-spread"):
        key = ZONE if kind == "zone-spread" else HOST
        constraint = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}
        spec["topologySpreadConstraints"] = [constraint]
    elif kind == "apart":
        term = {"labelSelector": own, "topologyKey": HOST}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    elif kind == "near":
        term = {"labelSelector": own, "topologyKey": ZONE}
        spec["affinity"] = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    elif kind == "spot":
        spec["tolerations"].append({"key": _SPOT["key"], "operator": "Exists", "effect": "NoSchedule"})
        spec["nodeSelector"] = {POOL: "spot"} if chance.random() < 0.5 else {}
    elif kind == "gpu":
        spec["tolerations"].append({"key": _GPU["key"], "operator": "Exists"})
        container["resources"]["requests"]["nvidia.com/gpu"] = "1"
    elif kind == "port":
        container["ports"].append({"containerPort": 9000, "hostPort": 9000 + workload % 50, "protocol": "TCP"})
    elif kind == "stateful":
        labels["apps.kubernetes.io/pod-index"] = str(replica)
        labels["statefulset.kubernetes.io/pod-name"] = f"w{workload:05}-{replica}"
        spec["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": f"data-{workload}-{replica}"}})
    elif kind == "daemon":
        field = {"key": "metadata.name", "operator": "In", "values": [f"node-{replica:05}"]}
        required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        spec["tolerations"] = [{"operator": "Exists"}]
        container["resources"] = {"requests": {"cpu": "50m", "memory": "64Mi"}}
    elif kind == "sidecar":
        requests = {"requests": {"cpu": "50m", "memory": "64Mi"}}
        sidecar = {"name": "proxy", "image": "registry.example/proxy", "restartPolicy": "Always", "resources": requests}
        spec["initContainers"] = [sidecar, {"name": "migrate", "image": "registry.example/migrate", "resources": {}}]


def storage(pod: Object) -> list[tuple[str, Object]]:
    """The bound claims of a pod and their volumes, each in one zone, by resource."""
    found: list[tuple[str, Object]] = []
    for volume in pod["spec"]["volumes"]:
        if "persistentVolumeClaim" not in volume:
            continue
        claim, space = volume["persistentVolumeClaim"]["claimName"], pod["metadata"]["namespace"]
        name = f"pv-{space}-{claim}"
        zone = ZONES[sum(map(ord, claim)) % 3]
        terms = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}]
        meta = {"name": claim, "namespace": space, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        size = {"requests": {"storage": "10Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "volumeName": name, "storageClassName": "fast", "resources": size}
        found.append(("persistentvolumeclaims", {"metadata": meta, "spec": spec, "status": {"phase": "Bound"}}))
        fields = {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "disk.example.com", "volumeHandle": name},
            "storageClassName": "fast",
            "claimRef": {"namespace": space, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        }
        found.append(("persistentvolumes", {"metadata": {"name": name}, "spec": fields, "status": {"phase": "Bound"}}))
    return found


def csi_node(node: Object) -> Object:
    """A CSINode with which a node can attach 25 volumes."""
    driver = {"name": "disk.example.com", "nodeID": node["metadata"]["name"], "allocatable": {"count": 25}}
    return {"metadata": {"name": node["metadata"]["name"]}, "spec": {"drivers": [driver]}}
