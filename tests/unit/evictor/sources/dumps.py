"""Dumps in kubectl's format, of a cluster in which one node can be emptied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from moorage.evictor import kinds
from moorage.evictor.sources.result import ConfigMaps
from tests.unit.evictor.build import Json
from tests.unit.evictor.compaction.build import replica, replica_set, room

VERSIONS = {each.kind: each.group_version for each in kinds.KINDS}
WHERE = ConfigMaps("castai-agent", "castai-evictor-config", "castai-evictor-prices")
LEASE: Json = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "n1", "namespace": "kube-node-lease"},
    "spec": {"renewTime": "2026-01-01T12:00:00.123456Z"},
}
NAMESPACES = [{"kind": "Namespace", "metadata": {"name": name}} for name in ("shop", "kube-node-lease")]
TWO = [room("n1"), room("n2"), replica("a", "n1"), replica("b", "n2"), replica("c", "n2"), replica_set()]
"""Node n1 can go."""
CLUSTER = [*NAMESPACES, *TWO, LEASE]


def versioned(*manifests: Json) -> list[Json]:
    return [{"apiVersion": VERSIONS.get(each.get("kind", ""), "v1"), **each} for each in manifests]


def listed(*manifests: Json, **more: Any) -> Json:
    """The format of ``kubectl get a,b -o json``."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": versioned(*manifests),
        "metadata": {"resourceVersion": ""},
        **more,
    }


def text(*manifests: Json) -> str:
    return json.dumps(listed(*manifests), indent=4)


def written(folder: Path, *manifests: Json, name: str = "cluster.json") -> str:
    path = folder / name
    path.write_text(text(*(manifests or CLUSTER)))
    return str(path)


def config_map(name: str, key: str, content: Any, namespace: str = "castai-agent") -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: json.dumps(content)}}
