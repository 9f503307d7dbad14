"""Plan files of the benchmark for `moorage planner`: JSON, which is also YAML and faster to write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.bench.pin import scene
from tools.bench.pin.scene import NAMESPACE, Target


def nodes(count: int) -> dict[str, Any]:
    """The plan of promised nodes."""
    return {
        "plan": "bench",
        "deadline": "1h",
        "nodes": [{"name": scene.node_name(index), **scene.promise(index)} for index in range(count)],
    }


def pins(targets: Sequence[Target]) -> dict[str, Any]:
    """The plan of pods to pin, by uid, to existing nodes: only pins are served."""
    by_node: dict[str, list[dict[str, str]]] = {}
    for each in targets:
        by_node.setdefault(each.node, []).append({"namespace": NAMESPACE, "name": each.name, "uid": each.uid})
    return {
        "plan": "bench",
        "deadline": "1h",
        "nodes": [{"name": node, "existing": True, "pods": pods} for node, pods in by_node.items()],
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a plan in one step, so that a reader sees all of it or the old one."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document, indent=1))
    draft.replace(path)
