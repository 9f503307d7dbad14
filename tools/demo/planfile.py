"""Writes the demo's plan as ``moorage planner`` reads it (schemas/plan/plan.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import manifests
from .scenario import Machine

DEADLINE = "5m"


def document(machines: Sequence[Machine]) -> dict[str, Any]:
    """The plan: what all machines have in common as a template, pods by name and uid (so no cluster is asked)."""
    return {
        "plan": "demo",
        "deadline": DEADLINE,
        "templates": {"machine": manifests.promise()},
        "nodes": [
            {
                "name": machine.name,
                "template": "machine",
                "labels": manifests.node_labels(machine.zone),
                "pods": [{"namespace": pod.namespace, "name": pod.name, "uid": pod.uid} for pod in machine.pods],
            }
            for machine in machines
        ],
    }


def write(path: Path, plan: Mapping[str, Any]) -> None:
    """Write a plan so that a reader sees all of it or nothing."""
    draft = path.with_suffix(".draft")
    draft.write_text(yaml.safe_dump(plan, sort_keys=False))
    draft.replace(path)
