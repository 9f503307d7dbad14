"""A cached pod in memory: every field that is read, shared if equal, without its original bytes."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import moorage.kube
from moorage.kube import resources
from moorage.kube.compact import SharedTexts, compact_condition, compact_pod
from moorage.kube.resource import Resource
from moorage.objects import Condition, Pod

TIME = "2026-01-01T00:00:00Z"


def pod(name: str, *, started: str = TIME) -> dict[str, Any]:
    state = {"running": {"startedAt": started}}
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "generateName": "web-",
            "generation": 3,
            "creationTimestamp": TIME,
            "deletionTimestamp": TIME,
            "deletionGracePeriodSeconds": 30,
            "labels": {"app": "web"},
            "annotations": {"moorage.dev/pin": "a", "checksum/config": "x" * 1024},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}
            ],
            "finalizers": ["example.com/hold"],
        },
        "spec": {
            "nodeName": "n1",
            "os": {"name": "linux"},
            "schedulerName": "default-scheduler",
            "priority": 5,
            "priorityClassName": "high",
            "preemptionPolicy": "Never",
            "restartPolicy": "Always",
            "hostNetwork": True,
            "hostUsers": True,
            "terminationGracePeriodSeconds": 20,
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}, "ports": [{"hostPort": 80}]}],
            "initContainers": [{"name": "i", "restartPolicy": "Always"}],
            "resources": {"requests": {"cpu": "2"}},
            "overhead": {"cpu": "10m"},
            "nodeSelector": {"disk": "ssd"},
            "affinity": {"nodeAffinity": {}, "podAffinity": {}, "podAntiAffinity": {}},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}],
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}],
            "schedulingGates": [{"name": "g"}],
            "resourceClaims": [{"name": "c"}],
        },
        "status": {
            "phase": "Running",
            "reason": "r",
            "message": "m",
            "nominatedNodeName": "n2",
            "extendedResourceClaimStatus": {"resourceClaimName": "made"},
            "startTime": TIME,
            "resources": {"requests": {"cpu": "2"}},
            "allocatedResources": {"cpu": "2"},
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": started}
            ],
            "containerStatuses": [
                {
                    "name": "a",
                    "ready": True,
                    "restartCount": 2,
                    "state": state,
                    "allocatedResources": {"cpu": "1"},
                    "resources": {"requests": {"cpu": "1"}},
                }
            ],
            "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        },
    }


def decoded(document: dict[str, Any]) -> Pod:
    return msgspec.json.decode(json.dumps(document), type=Pod)


def test_everything_that_is_read_is_kept_but_foreign_annotations() -> None:
    document = pod("a")
    kept = json.loads(msgspec.json.encode(compact_pod(decoded(document))))
    del document["metadata"]["annotations"]["checksum/config"]
    assert kept == json.loads(msgspec.json.encode(decoded(document)))
    assert all(getattr(decoded(document).spec, name) for name in Pod().spec.__struct_fields__), "a field is not tried"
    assert all(getattr(decoded(document).status, name) for name in Pod().status.__struct_fields__)
    assert all(getattr(decoded(document).metadata, name) for name in Pod().metadata.__struct_fields__)


def test_siblings_share_what_is_equal_whenever_they_started() -> None:
    first, second = (compact_pod(decoded(pod(name, started=f"2026-01-01T00:00:0{name}Z"))) for name in "12")
    assert first.spec.containers is second.spec.containers
    assert first.spec.tolerations is second.spec.tolerations
    assert first.metadata.labels is second.metadata.labels
    assert first.metadata.owner_references is second.metadata.owner_references
    assert first.status.container_statuses is second.status.container_statuses
    assert first.status.conditions != second.status.conditions


def cached_kinds() -> list[type]:
    return sorted({r.type for r in vars(resources).values() if isinstance(r, Resource)}, key=str)


def reachable(kind: object, seen: set[type]) -> Iterator[object]:
    """Every type inside a type, struct by struct."""
    yield kind
    if isinstance(kind, msgspec.inspect.StructType):
        if kind.cls in seen:
            return
        seen.add(kind.cls)
        inner: list[object] = [field.type for field in kind.fields]
    else:
        inner = [
            part
            for name in ("item_type", "item_types", "key_type", "value_type", "types")
            for part in _several(getattr(kind, name, ()))
        ]
    for part in inner:
        yield from reachable(part, seen)


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("kind", cached_kinds())
def test_no_cached_kind_can_hold_the_answer_it_was_decoded_from(kind: type) -> None:
    types = list(reachable(msgspec.inspect.type_info(kind), set()))
    assert len(types) > 5
    assert not [found for found in types if isinstance(found, msgspec.inspect.RawType)]


def test_what_strangers_write_is_not_kept_for_ever() -> None:
    """On Python 3.12, interned texts stay in memory until the process ends."""
    tracemalloc.start()
    try:
        for number in range(50_000):
            compact_condition(Condition("Ready", "True", "Seen", f"{number} {'x' * 200}", f"time {number}"))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 12 << 20, "at most the table"


def test_no_text_is_interned() -> None:
    runtime = Path(moorage.kube.__path__[0]).parent
    called = re.compile(r"\bimport intern\b|\bsys\.intern\(")
    interning = [path for path in runtime.rglob("*.py") if called.search(path.read_text())]
    assert interning == []


def test_the_table_of_texts_is_bounded() -> None:
    texts = SharedTexts(limit=10, longest=20)
    first = texts.share("".join(["a", "b"]))
    assert texts.share("".join(["a", "b"])) is first
    assert texts.share("x" * 21) is not texts.share("".join(["x"] * 21)), "too long for the table"
    for number in range(10):
        texts.share(f"other {number}")
    again = "".join(["a", "b"])
    assert texts.share(again) is again, "the table has been cleared"
    with pytest.raises(TypeError):
        texts.share(b"bytes")  # type: ignore[arg-type]
