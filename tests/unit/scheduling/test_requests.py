"""Effective requests, with sums computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.objects import Pod
from moorage.scheduling import requests

from .build import pod

GI = 2**30


def container(name: str, cpu: str | None = None, memory: str | None = None, **more: Any) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"name": name, "resources": {"requests": {k: v for k, v in amounts.items() if v}}} | more


def sidecar(name: str, cpu: str) -> dict[str, Any]:
    return container(name, cpu, restartPolicy="Always")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": [container("a", "1", "1Gi"), container("b", "250m")]}, {"cpu": 1250, "memory": GI}),
        ({"containers": [container("a", "1")], "initContainers": [container("i", "3")]}, {"cpu": 3000}),
        ({"containers": [container("a", "2")], "initContainers": [sidecar("s", "1")]}, {"cpu": 3000}),
        # The init container runs beside the sidecar before it, not beside the one after it.
        (
            {
                "containers": [container("a", "1")],
                "initContainers": [sidecar("s", "1"), container("i", "4"), sidecar("t", "1")],
            },
            {"cpu": 5000},
        ),
        ({"containers": [container("a", "1")], "overhead": {"cpu": "120m"}}, {"cpu": 1120}),
        # Of the pod as a whole: it replaces what the containers say, resource by resource; overhead comes on top.
        (
            {
                "containers": [container("a", "1", "1Gi")],
                "resources": {"requests": {"cpu": "500m"}},
                "overhead": {"cpu": "1"},
            },
            {"cpu": 1500, "memory": GI},
        ),
        ({"containers": [container("a", "1")], "resources": {"limits": {"cpu": "9"}}}, {"cpu": 1000}),
        # Sums are exact and rounded up once, at the end.
        ({"containers": [container("a", "0.0004"), container("b", "0.0004")]}, {"cpu": 1}),
        ({"containers": [container("a", "0", "0")]}, {}),
    ],
)
def test_pending(spec: dict[str, Any], expected: dict[str, int]) -> None:
    assert requests.pending(pod(**spec)) == expected


def resized(spec: str, actual: str | None, allocated: str | None, *conditions: dict[str, str]) -> Pod:
    status: dict[str, Any] = {"name": "a"}
    if actual:
        status["resources"] = {"requests": {"cpu": actual}}
    if allocated:
        status["allocatedResources"] = {"cpu": allocated}
    whole = {"containerStatuses": [status], "conditions": list(conditions)}
    return pod(containers=[container("a", spec)], status=whole)


def test_placed_during_a_resize() -> None:
    infeasible = {"type": "PodResizePending", "reason": "Infeasible"}
    assert requests.placed(resized("1", "2", "1500m")) == {"cpu": 2000}
    assert requests.placed(resized("1", "500m", "1500m")) == {"cpu": 1500}
    assert requests.placed(resized("3", "1", "1")) == {"cpu": 3000}
    assert requests.placed(resized("3", "1", "1", infeasible)) == {"cpu": 1000}
    assert requests.placed(resized("3", None, "9")) == {"cpu": 3000}  # without "resources" the status says nothing
    assert requests.pending(resized("1", "2", "2")) == {"cpu": 1000}


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("cpu", True),
        ("ephemeral-storage", True),
        ("hugepages-2Mi", True),
        ("nvidia.com/gpu", True),
        ("kubernetes.io/batch-cpu", True),
        ("attachable-volumes-aws-ebs", True),
        ("storage", False),
        ("pods", False),
        ("requests.nvidia.com/gpu", False),
        ("Not A/Name", False),
    ],
)
def test_what_the_scheduler_counts(name: str, counted: bool) -> None:
    assert requests.counted(name) is counted
