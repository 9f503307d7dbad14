"""Snapshots in real-world shapes, as API objects in JSON form, with each feature of placement alone and in pairs.

A case is a dict as the oracle reads it, ``objects`` by plural and ``pending`` pods, with the ``features`` that were
used. Every feature is a function that changes what a plain case holds; small pools of names make matches, conflicts
and near misses likely.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]
Case = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ZONE, REGION, HOST = "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "kubernetes.io/hostname"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
NAMESPACES = ("shop", "data", "ghost")  # the last one has no Namespace object
APPS = ("web", "db", "cache")
NODES = ("n0", "n1", "n2", "n3", "n4")

half, third = st.booleans(), st.sampled_from((True, False, False))
tenth = st.sampled_from((True,) + (False,) * 9)
app, namespace = st.sampled_from(APPS), st.sampled_from(NAMESPACES)
topology = st.sampled_from((ZONE, HOST, ZONE, HOST, REGION, "rack"))
tier = st.sampled_from(("front", "back", "5", "12"))
small = st.integers(0, 3)


def of(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


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


def everyone(case: Case) -> list[Object]:
    return [*case["objects"]["pods"], *case["pending"]]


def some(draw: Draw, things: list[Object]) -> list[Object]:
    return [thing for thing in things if draw(half)]


# ---- selectors


def label_selector(draw: Draw) -> Object | None:
    kind = draw(of(0, 0, 0, 0, 1, 1, 2, 3, 4))
    if kind == 0:
        return {"matchLabels": {"app": draw(app)}}
    if kind == 1:
        return {"matchExpressions": [expression(draw, ("app", "tier"), node=False)]}
    if kind == 2:
        return {"matchLabels": {"app": draw(app)}, "matchExpressions": [expression(draw, ("tier",), node=False)]}
    return {} if kind == 3 else None


def expression(draw: Draw, keys: tuple[str, ...], *, node: bool) -> Object:
    key = draw(st.sampled_from(keys))
    pool = {
        "app": APPS,
        "tier": ("front", "back", "5", "12"),
        ZONE: ("a", "b", "c"),
        HOST: NODES,
        "cores": ("1", "4", "-3", "many"),
        "team": ("red", "blue"),
        "disk": ("ssd", "hdd"),
    }[key]
    operator = draw(_NODE_OPERATORS if node else _LABEL_OPERATORS)
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    if operator in ("Gt", "Lt"):
        return {"key": key, "operator": operator, "values": [draw(of("0", "3", "+4", "-5"))]}
    return {"key": key, "operator": operator, "values": draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2))}


_LABEL_OPERATORS = of("In", "NotIn", "Exists", "DoesNotExist")
_NODE_OPERATORS = of("In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


# ---- features


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


def _affinity(pod: Object) -> Object:
    affinity: Object = pod["spec"].setdefault("affinity", {})
    return affinity


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
        _affinity(pod)["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": required}


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
            _affinity(pod)["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
        elif kind == 1:
            term = {"topologyKey": HOST, "labelSelector": {"matchExpressions": expressions}}
            _affinity(pod)["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        elif kind == 2:
            term = {"topologyKey": ZONE, "namespaceSelector": {"matchExpressions": expressions}}
            weighted = [{"weight": 1, "podAffinityTerm": term}]
            _affinity(pod)["podAffinity"] = {"preferredDuringSchedulingIgnoredDuringExecution": weighted}
        else:
            constraint = _constraint(draw) | {"labelSelector": {"matchExpressions": expressions}}
            pod["spec"]["topologySpreadConstraints"] = [constraint]


_TAINTS = of(
    {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
    {"key": "gpu", "effect": "NoExecute"},
    {"key": "spot", "value": "1", "effect": "PreferNoSchedule"},
    {"key": "level", "value": "5", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
)


def taints(draw: Draw, case: Case) -> None:
    """Taints, tolerations and cordons."""
    for node in case["objects"]["nodes"]:
        node["spec"]["taints"] = draw(st.lists(_TAINTS, max_size=2))
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


def _term(draw: Draw) -> Object:
    term: Object = {"topologyKey": draw(topology)}
    selector = label_selector(draw)
    if selector is not None:
        term["labelSelector"] = selector
    return term


def pod_affinity(draw: Draw, case: Case) -> None:
    """Required affinity to other pods, also to the pod's own kind."""
    for pod in some(draw, everyone(case)):
        terms = [_term(draw) for _ in range(draw(of(1, 1, 2)))]
        if draw(half):
            terms[0]["labelSelector"] = {"matchLabels": {"app": pod["metadata"]["labels"]["app"]}}
        _affinity(pod)["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def pod_anti_affinity(draw: Draw, case: Case) -> None:
    """Required anti-affinity, of the pending pods and of those that run."""
    for pod in some(draw, everyone(case)):
        terms = [_term(draw) for _ in range(draw(of(1, 1, 2)))]
        _affinity(pod)["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def namespaces(draw: Draw, case: Case) -> None:
    """Inter-pod terms that reach into other namespaces, by name and by label."""
    for pod in some(draw, everyone(case)):
        term = _term(draw)
        if draw(half):
            term["namespaces"] = draw(st.lists(namespace, max_size=2))
        if draw(half) or draw(half):
            term["namespaceSelector"] = draw(
                of(
                    {},
                    {"matchLabels": {"team": "red"}},
                    {"matchLabels": {"kubernetes.io/metadata.name": "data"}},
                    {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
                    {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["red"]}]},
                )
            )
        if draw(third):
            term[draw(of("matchLabelKeys", "mismatchLabelKeys"))] = ["tier"]
        kind = draw(of("podAffinity", "podAntiAffinity", "podAntiAffinity"))
        _affinity(pod)[kind] = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _twins(draw: Draw, case: Case) -> None:
    """Some pods become replicas of the first one: equal in all but name and node."""
    first, *others = case["objects"]["pods"] or [{}]
    for pod in others:
        if draw(third):
            pod["metadata"] = copy.deepcopy(first["metadata"]) | {"name": pod["metadata"]["name"]}
            pod["spec"] = copy.deepcopy(first["spec"]) | {"nodeName": pod["spec"]["nodeName"]}


def _racks(draw: Draw, case: Case) -> None:
    for node in case["objects"]["nodes"]:
        rack = draw(of(None, "r1", "r2"))
        if rack:
            node["metadata"]["labels"]["rack"] = rack


def _constraint(draw: Draw) -> Object:
    constraint: Object = {
        "maxSkew": draw(of(1, 1, 2)),
        "topologyKey": draw(topology),
        "whenUnsatisfiable": draw(of("DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway")),
    }
    selector = label_selector(draw)
    if selector is not None:
        constraint["labelSelector"] = selector
    return constraint


def spread(draw: Draw, case: Case) -> None:
    """Topology spread, also over several keys, with terminating pods around."""
    for pod in some(draw, case["pending"]):
        constraints = [_constraint(draw) for _ in range(draw(of(1, 1, 2)))]
        if len(constraints) == 2 and draw(half):
            constraints[0]["topologyKey"], constraints[1]["topologyKey"] = ZONE, "rack"
        pod["spec"]["topologySpreadConstraints"] = constraints
    _twins(draw, case)
    for pod in case["objects"]["pods"]:
        if draw(third):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    _racks(draw, case)


def spread_policies(draw: Draw, case: Case) -> None:
    """minDomains, inclusion policies and matchLabelKeys, with taints and node selectors that exclude nodes."""
    for node in case["objects"]["nodes"]:
        if draw(third):
            node["spec"]["taints"] = [draw(_TAINTS)]
    for pod in case["pending"]:
        constraint = _constraint(draw)
        for field, values in (
            ("minDomains", (1, 2, 3)),
            ("nodeAffinityPolicy", ("Honor", "Ignore")),
            ("nodeTaintsPolicy", ("Honor", "Ignore")),
            ("matchLabelKeys", (["tier"], ["tier", "app"], ["none"])),
        ):
            if draw(half):
                constraint[field] = draw(st.sampled_from(values))
        pod["spec"]["topologySpreadConstraints"] = [constraint]
        if draw(third):
            constraint.pop("labelSelector", None)
        if draw(half):
            pod["spec"]["nodeSelector"] = {draw(of(ZONE, HOST)): draw(of("a", "b", "n1"))}
        if draw(third):
            pod["spec"]["tolerations"] = [{"operator": "Exists"}]


# ---- storage


def _claim(name: str, space: str, volume: str | None, **spec: Any) -> Object:
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}} | spec
    if volume:
        fields["volumeName"] = volume
    notes = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    status = {"phase": "Bound" if volume else "Pending"}
    return {"metadata": {"name": name, "namespace": space, "annotations": notes}, "spec": fields, "status": status}


def _volume(name: str, **spec: Any) -> Object:
    fields = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]} | spec
    if not {"csi", "awsElasticBlockStore", "gcePersistentDisk", "local"} & fields.keys():
        fields["csi"] = {"driver": "disk.example.com", "volumeHandle": name}
    return {"metadata": {"name": name, "labels": {}}, "spec": fields, "status": {"phase": "Bound"}}


def _use(pod: Object, claim: str) -> None:
    volumes = pod["spec"].setdefault("volumes", [])
    volumes.append({"name": f"v{len(volumes)}", "persistentVolumeClaim": {"claimName": claim}})


def _storage(case: Case) -> tuple[list[Object], list[Object], list[Object]]:
    objects = case["objects"]
    classes = objects.setdefault(
        "storageclasses",
        [
            {"metadata": {"name": "fast"}, "provisioner": "disk.example.com", "volumeBindingMode": "Immediate"},
            {
                "metadata": {"name": "wait"},
                "provisioner": "disk.example.com",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
            {"metadata": {"name": "unset"}, "provisioner": "disk.example.com"},
        ],
    )
    return objects.setdefault("persistentvolumeclaims", []), objects.setdefault("persistentvolumes", []), classes


def _add(list_: list[Object], thing: Object) -> None:
    meta = thing["metadata"]
    same = (meta["name"], meta.get("namespace"))
    if all((other["metadata"]["name"], other["metadata"].get("namespace")) != same for other in list_):
        list_.append(thing)


def _csi_node(csi_nodes: list[Object], node: Object) -> Object:
    name = node["metadata"]["name"]
    _add(csi_nodes, {"metadata": {"name": name}, "spec": {"drivers": []}})
    return next(other for other in csi_nodes if other["metadata"]["name"] == name)


def volumes(draw: Draw, case: Case) -> None:
    """Bound claims whose volumes can be reached from some nodes only, and claims in a bad state."""
    claims, known, _ = _storage(case)
    for pod in some(draw, case["pending"]):
        space = pod["metadata"]["namespace"]
        name = draw(of("c0", "c1"))
        _use(pod, draw(of(name, name, name, name, "absent")))
        claim = _claim(name, space, f"pv-{space}-{name}", storageClassName="fast")
        state = draw(st.integers(0, 11))
        if state == 0:
            claim["status"]["phase"] = "Lost"
        elif state == 1:
            claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        elif state == 2:
            claim["metadata"]["annotations"] = {}
        elif state == 3:
            del claim["spec"]["volumeName"]
        _add(claims, claim)
        if state != 4:
            terms = [
                {"matchExpressions": [expression(draw, (ZONE, HOST), node=True)]} for _ in range(draw(of(0, 1, 1, 2)))
            ]
            if draw(tenth):
                terms.append({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n0"]}]})
            affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if terms else {}
            _add(known, _volume(f"pv-{space}-{name}", storageClassName="fast", **affinity))


def volume_zones(draw: Draw, case: Case) -> None:
    """Volumes with zone and region labels, current and beta, single and several zones."""
    claims, known, _ = _storage(case)
    for node in case["objects"]["nodes"]:
        if draw(third):
            node["metadata"]["labels"][BETA_ZONE] = draw(of("a", "b"))
        if draw(tenth):
            node["metadata"]["labels"].pop(ZONE, None)
    for number, pod in enumerate(some(draw, case["pending"])):
        space = pod["metadata"]["namespace"]
        _use(pod, f"z{number}")
        _add(claims, _claim(f"z{number}", space, f"zone-{space}-{number}"))
        volume = _volume(f"zone-{space}-{number}")
        for key in draw(st.lists(of(ZONE, BETA_ZONE, REGION), min_size=1, max_size=2, unique=True)):
            volume["metadata"]["labels"][key] = draw(of("a", "b", "a__b", "ra", "a__", " a __ b"))
        _add(known, volume)


def unbound(draw: Draw, case: Case) -> None:
    """Claims without a volume: immediate, waiting for the first consumer, of unknown classes, ephemeral."""
    claims, known, _ = _storage(case)
    for number, pod in enumerate(case["pending"]):
        space = pod["metadata"]["namespace"]
        mode = draw(of("fast", "wait", "wait", "unset", "none", ""))
        claim = _claim(f"u{number}", space, None, storageClassName=mode)
        if draw(third):
            claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = draw(of("n0", "n1"))
        if draw(tenth):
            claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] = "wait"
        if draw(third):
            template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
            scratch = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}
            pod["spec"].setdefault("volumes", []).append(scratch)
            pod["metadata"]["uid"] = f"uid-{pod['metadata']['name']}"
            owner = pod["metadata"]["uid"] if draw(half) else "other"
            claim["metadata"]["name"] = f"{pod['metadata']['name']}-scratch"
            kind = {"apiVersion": "v1", "kind": "Pod", "controller": True}
            claim["metadata"]["ownerReferences"] = [kind | {"name": pod["metadata"]["name"], "uid": owner}]
            if draw(half):
                volume = _volume(f"pv-{space}-{claim['metadata']['name']}")
                claim["spec"]["volumeName"] = volume["metadata"]["name"]
                claim["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
                _add(known, volume)
        elif draw(half):
            _use(pod, f"u{number}")
        _add(claims, claim)


def single_writer(draw: Draw, case: Case) -> None:
    """ReadWriteOncePod claims that another pod may hold already."""
    claims, known, _ = _storage(case)
    for pod in everyone(case):
        if not draw(half):
            continue
        space, name = pod["metadata"]["namespace"], draw(of("one", "two"))
        _use(pod, name)
        mode = "ReadWriteOncePod" if name == "one" else "ReadWriteMany"
        _add(claims, _claim(name, space, f"rw-{space}-{name}", accessModes=[mode]))
        _add(known, _volume(f"rw-{space}-{name}", accessModes=[mode]))


def limits(draw: Draw, case: Case) -> None:
    """Attach limits by CSINode, with shared volumes, VolumeAttachments and claims not bound yet."""
    claims, known, _ = _storage(case)
    objects = case["objects"]
    csi_nodes = objects.setdefault("csinodes", [])
    for node in objects["nodes"]:
        if draw(third):
            continue
        drivers = [{"name": "disk.example.com", "nodeID": "x", "allocatable": {"count": draw(of(0, 1, 2, 3))}}]
        if draw(third):
            drivers[0].pop("allocatable")
        _csi_node(csi_nodes, node)["spec"]["drivers"] += drivers
    for pod in everyone(case):
        space = pod["metadata"]["namespace"]
        for name in draw(st.lists(of("l0", "l1", "l2"), max_size=2, unique=True)):
            _use(pod, name)
            pending = draw(tenth)
            claim = _claim(name, space, None if pending else f"disk-{name}", storageClassName="wait")
            _add(claims, claim)
            driver = draw(of("disk.example.com", "disk.example.com", "nfs.example.com"))
            _add(known, _volume(f"disk-{name}", csi={"driver": driver, "volumeHandle": f"h-{name}"}))
    attachments = objects.setdefault("volumeattachments", [])
    for number in range(draw(small)):
        source = {"persistentVolumeName": draw(of("disk-l0", "disk-l1", "disk-l2", "gone"))}
        where = draw(st.sampled_from(objects["nodes"]))["metadata"]["name"]
        spec = {"attacher": "disk.example.com", "nodeName": where, "source": source}
        attachments.append({"metadata": {"name": f"va{number}"}, "spec": spec, "status": {"attached": True}})


def disks(draw: Draw, case: Case) -> None:
    """In-tree disks that pods may share read-only, or not at all."""
    for pod in everyone(case):
        if not draw(half):
            continue
        read_only = draw(half)
        volume = draw(
            of(
                {"gcePersistentDisk": {"pdName": "d", "readOnly": read_only}},
                {"awsElasticBlockStore": {"volumeID": "vol-1", "readOnly": read_only}},
                {"iscsi": {"iqn": "iqn.2026-01.example:x", "targetPortal": "t", "lun": 0, "readOnly": read_only}},
                {"rbd": {"monitors": ["m1", "m2"], "image": "i", "pool": "p", "readOnly": read_only}},
                {"rbd": {"monitors": ["m2", "m3"], "image": "i", "pool": "p", "readOnly": read_only}},
            )
        )
        pod["spec"].setdefault("volumes", []).append({"name": f"d{len(pod['spec'].get('volumes', []))}"} | volume)


def in_tree(draw: Draw, case: Case) -> None:
    """Volumes of in-tree plugins, on nodes that say they are migrated and on others, with limits of the CSI driver."""
    claims, known, _ = _storage(case)
    csi_nodes = case["objects"].setdefault("csinodes", [])
    for node in case["objects"]["nodes"]:
        if draw(third):
            continue
        notes = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs,kubernetes.io/gce-pd"}
        drivers = [{"name": "ebs.csi.aws.com", "nodeID": "x", "allocatable": {"count": draw(of(0, 1, 2))}}]
        csi_node = _csi_node(csi_nodes, node)
        csi_node["metadata"]["annotations"] = notes if draw(half) else {}
        csi_node["spec"]["drivers"] += drivers if draw(half) else []
    for pod in some(draw, everyone(case)):
        space = pod["metadata"]["namespace"]
        _use(pod, "legacy")
        _add(claims, _claim("legacy", space, f"legacy-{space}"))
        terms = [{"matchExpressions": [expression(draw, (ZONE,), node=True)]}]
        source = {"awsElasticBlockStore": {"volumeID": f"aws://us-east-1a/vol-{space}"}}
        affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if draw(half) else {}
        _add(known, _volume(f"legacy-{space}", **source, **affinity))


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
    "pod-affinity": pod_affinity,
    "pod-anti-affinity": pod_anti_affinity,
    "namespaces": namespaces,
    "spread": spread,
    "spread-policies": spread_policies,
    "volumes": volumes,
    "volume-zones": volume_zones,
    "unbound": unbound,
    "single-writer": single_writer,
    "limits": limits,
    "disks": disks,
    "in-tree": in_tree,
    "kubelet-features": kubelet_features,
}
_SECOND = st.sampled_from(("",) * (len(FEATURES) // 3) + tuple(FEATURES))
