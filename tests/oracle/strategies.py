"""Snapshots in real-world shapes, as API objects in JSON form, with each feature of placement alone and in pairs.

A case is a dict as the oracle reads it, ``objects`` by plural and ``pending`` pods, with the ``features`` that were
used. Every feature is a function that changes what a plain case holds; small pools of names make matches, conflicts
and near misses likely.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.oracle import neighbours, storage
from tests.oracle.neighbours import TAINTS, affinity, constraint
from tests.oracle.shapes import (
    HOST,
    NODES,
    REGION,
    ZONE,
    Case,
    Draw,
    Object,
    app,
    everyone,
    expression,
    half,
    of,
    small,
    some,
    tenth,
    third,
    tier,
)


def _pod(draw: Draw, name: str) -> Object:
    labels = {"app": draw(app)}
    if draw(half):
        labels["tier"] = draw(tier)
    requests = draw(_REQUESTS)
    container: Object = {"name": "main", "image": "registry.example/main", "resources": {"requests": dict(requests)}}
    return {
        "metadata": {"name": name, "namespace": draw(_MOSTLY_SHOP), "labels": labels},
        "spec": {"containers": [container]},
        "status": {},
    }


_MOSTLY_SHOP = of("shop", "shop", "shop", "data", "ghost")
_REQUESTS = of(
    {}, {"cpu": "1"}, {"cpu": "500m", "memory": "1Gi"}, {"memory": "2Gi"}, {"cpu": "1500m", "memory": "512Mi"}
)
_ROOM = of(
    {"cpu": "2", "memory": "4Gi", "pods": "3"},
    {"cpu": "4", "memory": "8Gi", "pods": "110"},
    {"cpu": "8", "memory": "4Gi", "pods": "10"},
)
_ZONES = of("a", "b", "a", "b", "c", None)


@st.composite
def cases(draw: Draw, first: str, *, alone: bool = False) -> Case:
    """A case with the feature ``first`` and, most of the time and unless ``alone``, a second one."""
    nodes = []
    for name in NODES[: draw(st.integers(1, 5))]:
        labels = {HOST: name}
        zone = draw(_ZONES)
        if zone:
            labels |= {ZONE: zone, REGION: "r" + zone}
        nodes.append(
            {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"allocatable": dict(draw(_ROOM))}}
        )
    pods = [_pod(draw, f"p{i}") for i in range(draw(st.integers(0, 6)))]
    for pod in pods:
        pod["spec"]["nodeName"] = draw(st.sampled_from(nodes))["metadata"]["name"]
        pod["status"]["phase"] = "Running"
    case: Case = {
        "objects": {
            "nodes": nodes,
            "pods": pods,
            "namespaces": [
                {"metadata": {"name": "shop", "labels": {"team": "red", "kubernetes.io/metadata.name": "shop"}}},
                {"metadata": {"name": "data", "labels": {"team": "blue", "kubernetes.io/metadata.name": "data"}}},
            ],
        },
        "pending": [_pod(draw, f"q{i}") for i in range(3)],
    }
    case["features"] = sorted({first, "" if alone else draw(_SECOND)} - {""})
    for feature in case["features"]:
        FEATURES[feature](draw, case)
    return case


def requests_feature(draw: Draw, case: Case) -> None:
    """Init containers, sidecars, overhead, several containers, odd quantities."""
    quantity = of("1", "250m", "0", "1.5", "1e0", "333m")
    for pod in some(draw, everyone(case)):
        spec = pod["spec"]
        spec["initContainers"] = [
            {
                "name": f"i{i}",
                "image": "registry.example/i",
                "resources": {"requests": {"cpu": draw(quantity), "memory": draw(of("128Mi", "1G", "3Gi", "1500M"))}},
            }
            | ({"restartPolicy": "Always"} if draw(half) else {})
            for i in range(draw(small))
        ]
        if draw(third):
            spec["overhead"] = {"cpu": draw(quantity), "memory": "120Mi"}
        if draw(half):
            resources = {"requests": {"cpu": draw(quantity), "ephemeral-storage": draw(of("1Gi", "0"))}}
            spec["containers"].append({"name": "extra", "image": "registry.example/x", "resources": resources})
    for node in some(draw, case["objects"]["nodes"]):
        node["status"]["allocatable"]["ephemeral-storage"] = draw(of("1Gi", "3Gi", "1500k"))


def pod_level(draw: Draw, case: Case) -> None:
    """Resources of the pod as a whole."""
    for pod in some(draw, everyone(case)):
        values = {}
        for name in draw(st.lists(of("cpu", "memory", "hugepages-2Mi"), unique=True)):
            values[name] = draw({"cpu": of("1", "2", "3500m"), "memory": of("1Gi", "5Gi")}.get(name, of("4Mi", "64Mi")))
        pod["spec"]["resources"] = {draw(of("requests", "requests", "limits")): values}
        if draw(third):
            pod["spec"]["overhead"] = {"cpu": "250m"}
    for node in some(draw, case["objects"]["nodes"]):
        node["status"]["allocatable"]["hugepages-2Mi"] = draw(of("8Mi", "64Mi"))


def resize(draw: Draw, case: Case) -> None:
    """Placed pods whose status says other than their spec."""
    amounts = of({}, {"cpu": "500m"}, {"cpu": "2", "memory": "1Gi"}, {"cpu": "3"}, {"memory": "3Gi"})
    for pod in some(draw, everyone(case)):
        status = {"name": draw(of("main", "main", "init", "other"))}
        if status["name"] == "init" or draw(third):
            init = {"name": "init", "image": "registry.example/i", "resources": {"requests": dict(draw(amounts))}}
            pod["spec"]["initContainers"] = [init | ({"restartPolicy": "Always"} if draw(half) else {})]
        if draw(half):
            status["resources"] = {"requests": dict(draw(amounts))}
        if draw(half):
            status["allocatedResources"] = dict(draw(amounts))
        pod["status"]["containerStatuses"] = [status]
        if draw(third):
            reason = draw(of("Infeasible", "Deferred"))
            pod["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
        if draw(third):
            pod["spec"]["resources"] = {"requests": dict(draw(amounts))}
            pod["status"]["resources"] = {"requests": dict(draw(amounts))}
            pod["status"]["allocatedResources"] = dict(draw(amounts))


def extended(draw: Draw, case: Case) -> None:
    """Extended resources, huge pages, attachable volumes, and names that do not count."""
    names = (
        "nvidia.com/gpu",
        "example.com/fpga",
        "hugepages-1Gi",
        "attachable-volumes-csi-x",
        "kubernetes.io/batch-cpu",
    )
    name = st.sampled_from((*names, "storage"))
    for node in some(draw, case["objects"]["nodes"]):
        node["status"]["allocatable"][draw(name)] = draw(of("0", "1", "2", "4"))
    for pod in some(draw, everyone(case)):
        pod["spec"]["containers"][0]["resources"]["requests"][draw(name)] = draw(of("0", "1", "2"))


def pod_count(draw: Draw, case: Case) -> None:
    """Nodes that run few pods, and pods that are over or about to go."""
    for node in case["objects"]["nodes"]:
        node["status"]["allocatable"]["pods"] = draw(of("0", "1", "2", "3"))
    for pod in some(draw, case["objects"]["pods"]):
        pod["status"]["phase"] = draw(of("Succeeded", "Failed", "Pending", "Running"))
        if draw(half):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def node_name(draw: Draw, case: Case) -> None:
    """A pending pod that names its node."""
    for pod in some(draw, case["pending"]):
        pod["spec"]["nodeName"] = draw(of(*NODES, "gone"))


def _label_nodes(draw: Draw, case: Case) -> None:
    for node in case["objects"]["nodes"]:
        labels = node["metadata"]["labels"]
        if draw(half):
            labels["cores"] = draw(of("1", "4", "-3", "many", "+5", "99999999999999999999"))
        if draw(half):
            labels["disk"] = draw(of("ssd", "hdd"))


def node_selector(draw: Draw, case: Case) -> None:
    """Node selectors."""
    _label_nodes(draw, case)
    for pod in some(draw, case["pending"]):
        key, value = draw(of((ZONE, "a"), ("disk", "ssd"), ("disk", "hdd"), (HOST, "n1"), ("cores", "4"), ("none", "")))
        pod["spec"]["nodeSelector"] = {key: value}


def node_affinity(draw: Draw, case: Case) -> None:
    """Required node affinity with all operators and matchFields."""
    _label_nodes(draw, case)
    keys = (ZONE, HOST, "cores", "disk")
    for pod in some(draw, case["pending"]):
        terms = []
        for _ in range(draw(st.integers(1, 3))):
            term: Object = {}
            if draw(half) or draw(half):
                term["matchExpressions"] = [expression(draw, keys, node=True) for _ in range(draw(st.integers(1, 2)))]
            if draw(third):
                field = draw(of("metadata.name", "metadata.name", "metadata.name", "metadata.uid"))
                count = draw(st.sampled_from((1, 1, 1, 2)))
                names = draw(st.lists(of(*NODES), min_size=count, max_size=count))
                term["matchFields"] = [{"key": field, "operator": draw(of("In", "NotIn")), "values": names}]
            terms.append(term)
        required = {"nodeSelectorTerms": terms}
        affinity(pod)["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": required}


def odd_selectors(draw: Draw, case: Case) -> None:
    """Operators and values upstream does not parse, in node affinity, pod affinity and spread."""
    bad = of(
        {"key": "app", "operator": "Near", "values": ["web"]},
        {"key": "app", "operator": "In"},
        {"key": "app", "operator": "Exists", "values": ["web"]},
        {"key": "not a key", "operator": "Exists"},
        {"key": "app", "operator": "In", "values": ["not a value"]},
        {"key": "app", "operator": "Gt", "values": ["1"]},
    )
    for pod in some(draw, everyone(case)):
        kind = draw(small)
        expressions = [draw(bad)]
        if kind == 0:
            terms = [{"matchExpressions": expressions}]
            if draw(half):
                terms.append({"matchExpressions": [expression(draw, (ZONE,), node=True)]})
            required = {"nodeSelectorTerms": terms}
            affinity(pod)["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
        elif kind == 1:
            term = {"topologyKey": HOST, "labelSelector": {"matchExpressions": expressions}}
            affinity(pod)["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        elif kind == 2:
            term = {"topologyKey": ZONE, "namespaceSelector": {"matchExpressions": expressions}}
            weighted = [{"weight": 1, "podAffinityTerm": term}]
            affinity(pod)["podAffinity"] = {"preferredDuringSchedulingIgnoredDuringExecution": weighted}
        else:
            unreadable = constraint(draw) | {"labelSelector": {"matchExpressions": expressions}}
            pod["spec"]["topologySpreadConstraints"] = [unreadable]


def taints(draw: Draw, case: Case) -> None:
    """Taints, tolerations and cordons."""
    for node in case["objects"]["nodes"]:
        node["spec"]["taints"] = draw(st.lists(TAINTS, max_size=2))
        if draw(third):
            node["spec"]["unschedulable"] = True
    tolerations = of(
        {"operator": "Exists"},
        {"operator": "Exists", "effect": "NoSchedule"},
        {"key": "gpu", "operator": "Exists"},
        {"key": "gpu", "value": "yes"},
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
        {"key": "level", "operator": "Gt", "value": "3", "effect": "NoSchedule"},
        {"key": "level", "operator": "Lt", "value": "5"},
        {"key": "level", "operator": "Odd", "value": "5"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
        {"value": "5"},
    )
    for pod in case["pending"]:
        pod["spec"]["tolerations"] = draw(st.lists(tolerations, max_size=2))


def ports(draw: Draw, case: Case) -> None:
    """Host ports with protocols and addresses, of containers, sidecars and init containers."""
    for pod in everyone(case):
        wanted = [
            {"containerPort": 80, "hostPort": draw(of(0, 80, 80, 443))}
            | ({"protocol": draw(of("TCP", "UDP"))} if draw(half) else {})
            | ({"hostIP": draw(of("0.0.0.0", "127.0.0.1", "10.0.0.1", ""))} if draw(half) else {})  # noqa: S104
            for _ in range(draw(of(0, 1, 1, 2)))
        ]
        if draw(third):
            sidecar = {"restartPolicy": "Always"} if draw(half) else {}
            container = {"name": "i", "image": "registry.example/i", "ports": wanted}
            pod["spec"]["initContainers"] = [container | sidecar]
        else:
            pod["spec"]["containers"][0]["ports"] = wanted


def kubelet_features(draw: Draw, case: Case) -> None:
    """Features that a pod needs and a kubelet declares."""
    known = ("InPlacePodVerticalScalingInitContainers", "RestartAllContainersOnContainerExits", "SomethingElse")
    for node in case["objects"]["nodes"]:
        chosen = draw(st.lists(of(*known, "UserNamespacesHostNetworkSupport"), unique=True, max_size=3))
        node["status"]["declaredFeatures"] = sorted(chosen) if draw(half) or draw(half) else chosen
    for pod in some(draw, case["pending"]):
        if draw(half):
            rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
            pod["spec"]["containers"][0] |= {"restartPolicy": "Never", "restartPolicyRules": [rule]}
        else:
            pod["spec"] |= {"hostNetwork": True, "hostUsers": draw(half)}


def nominated(draw: Draw, case: Case) -> None:
    """Pending pods that wait for room on a node, for which others of no higher priority leave it free."""
    names = [node["metadata"]["name"] for node in case["objects"]["nodes"]]
    for pod in case["pending"]:
        pod["metadata"]["uid"] = f"uid-{pod['metadata']['name']}"
        priority = draw(of(None, 0, 10, -10))
        if priority is not None:
            pod["spec"]["priority"] = priority
        if draw(half):
            pod["status"]["nominatedNodeName"] = draw(st.sampled_from((*names, *names, "gone")))
        if draw(tenth):
            pod["spec"]["schedulingGates"] = [{"name": "example.com/wait"}]


FEATURES: dict[str, Callable[[Draw, Case], None]] = {
    "requests": requests_feature,
    "pod-level": pod_level,
    "resize": resize,
    "extended": extended,
    "pod-count": pod_count,
    "node-name": node_name,
    "node-selector": node_selector,
    "node-affinity": node_affinity,
    "odd-selectors": odd_selectors,
    "taints": taints,
    "ports": ports,
    "pod-affinity": neighbours.pod_affinity,
    "pod-anti-affinity": neighbours.pod_anti_affinity,
    "namespaces": neighbours.namespaces,
    "spread": neighbours.spread,
    "spread-policies": neighbours.spread_policies,
    "volumes": storage.volumes,
    "volume-zones": storage.volume_zones,
    "unbound": storage.unbound,
    "single-writer": storage.single_writer,
    "limits": storage.limits,
    "disks": storage.disks,
    "in-tree": storage.in_tree,
    "kubelet-features": kubelet_features,
    "nominated": nominated,
}
_SECOND = st.sampled_from(("",) * (len(FEATURES) // 3) + tuple(FEATURES))
