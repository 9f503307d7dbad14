"""Objects for the tests of this folder, in a short form."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from moorage.objects import Node, Pod

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
WEB = {"matchLabels": {"app": "web"}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def node(name: str = "n0", zone: str = "a", room: dict[str, Any] | None = None, **spec: Any) -> Node:
    """A node of 4 cores, 8 GiB and 10 pods, unless ``room`` says otherwise; ``labels`` replaces the labels."""
    labels = spec.pop("labels", {HOST: name, ZONE: zone})
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10"} if room is None else room
    thing = {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}}
    return msgspec.json.decode(json.dumps(thing), type=Node)


def pod(name: str = "p", requests: dict[str, Any] | None = None, on: str = "", app: str = "web", **spec: Any) -> Pod:
    """A pod of one container; ``meta`` and ``status`` are merged into those parts."""
    meta = {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}} | spec.pop("meta", {})
    status = spec.pop("status", {})
    container = {"name": "main", "resources": {"requests": requests or {}}}
    whole = {"containers": [container], "nodeName": on} | spec
    return msgspec.json.decode(json.dumps({"metadata": meta, "spec": whole, "status": status}), type=Pod)


def apart(key: str = HOST) -> dict[str, Any]:
    """Affinity that keeps web pods apart."""
    return {"podAntiAffinity": {REQUIRED: [{"topologyKey": key, "labelSelector": WEB}]}}


def spread(key: str = ZONE, **more: Any) -> list[dict[str, Any]]:
    """A constraint that spreads web pods evenly."""
    return [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB} | more]
