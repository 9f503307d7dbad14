"""Parsing an audit log, with lines from a real API server."""

from __future__ import annotations

import json
from typing import Any

from tools.auditlog.events import Event, read


def line(**changes: Any) -> bytes:
    """A line of kube-apiserver v1.36."""
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "6e0b7f3c-6b0c-4c4d-9f2a-0f0d0a0b0c0d",
        "stage": "ResponseComplete",
        "requestURI": "/apis/moorage.dev/v1alpha1/nodereservations/a/status?fieldManager=moorage",
        "verb": "update",
        "user": {"username": "system:serviceaccount:n:castai-pod-pinner", "groups": ["system:authenticated"]},
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "moorage",
        "objectRef": {
            "resource": "nodereservations",
            "name": "a",
            "apiGroup": "moorage.dev",
            "apiVersion": "v1alpha1",
            "subresource": "status",
        },
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-28T22:00:00.000000Z",
        "stageTimestamp": "2026-11-28T22:00:00.250000Z",
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }
    return json.dumps(event | changes).encode() + b"\n"


def test_a_line_is_read_whole() -> None:
    (event,) = read([line()])
    assert event == Event(
        at=1795903200.25,
        account="system:serviceaccount:n:castai-pod-pinner",
        agent="moorage",
        verb="update",
        group="moorage.dev",
        resource="nodereservations",
        subresource="status",
        namespace="",
        name="a",
        code=200,
        stored=True,
    )


def test_replicas_are_told_apart_by_their_pods() -> None:
    extra = {"authentication.kubernetes.io/pod-name": ["castai-pod-pinner-a"]}
    (event,) = read([line(user={"username": "castai-pod-pinner", "extra": extra})])
    assert (event.account, event.pod) == ("castai-pod-pinner", "castai-pod-pinner-a")


def test_who_acts_for_another_counts_as_that_other() -> None:
    (event,) = read([line(user={"username": "admin"}, impersonatedUser={"username": "pod-pinner"})])
    assert event.account == "pod-pinner"


def test_a_dry_run_stores_nothing() -> None:
    (event,) = read([line(requestURI="/api/v1/nodes?dryRun=All&fieldManager=moorage")])
    assert not event.stored


def test_only_answers_about_objects_count_and_half_a_line_waits() -> None:
    started = line(stage="ResponseStarted")
    health = line(requestURI="/readyz", objectRef=None)
    broken = line(stage="Panic")
    assert len(list(read([started, health, broken, line(), line()[:-20]]))) == 2
