"""Placement features about volumes: claims, volumes, classes, drivers and their limits."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.oracle.shapes import (
    BETA_ZONE,
    HOST,
    REGION,
    ZONE,
    Case,
    Draw,
    Object,
    everyone,
    expression,
    half,
    of,
    small,
    some,
    tenth,
    third,
)


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
    """ReadWriteOncePod claims that another pod may use already."""
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
