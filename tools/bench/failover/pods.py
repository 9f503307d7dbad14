"""Pods and Deployments of the benchmark."""

from __future__ import annotations

from typing import Any

from moorage.pinner.names import COMPONENT_LABEL, COMPONENT_NAME

Json = dict[str, Any]

POOL = "moorage.bench/pool"
"""Label of nodes: the pool whose pods they accept."""


def deployment(app: str, count: int) -> Json:
    """A Deployment whose pods fit only the nodes of its pool.

    Args:
        app: name of the Deployment and of the pool.
        count: number of pods.
    """
    labels = {"app": app}
    template = {"metadata": {"labels": labels}, "spec": _spec(nodeSelector={POOL: app})}
    spec = {"replicas": count, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": app}, "spec": spec}


def expected(app: str, namespace: str) -> Json:
    """A pod as the controller of that Deployment's ReplicaSet creates it.

    Args:
        app: the Deployment's name.
        namespace: its namespace.
    """
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-1", "uid": "none", "controller": True}
    labels = {"app": app, "pod-template-hash": "1"}
    metadata = {"generateName": f"{app}-1-", "namespace": namespace, "labels": labels, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": _spec(nodeSelector={POOL: app})}


def plain(*, name: str = "", asked: bool = True) -> Json:
    """A pod without an owner and a scheduler.

    Args:
        name: of the pod; if empty, the API server generates it.
        asked: whether the webhook is called for it. It is not called for the pinner's own pods.
    """
    labels = {} if asked else {COMPONENT_LABEL: COMPONENT_NAME}
    named = {"name": name} if name else {"generateName": "plain-"}
    return {"metadata": {**named, "labels": labels}, "spec": _spec(schedulerName="nobody")}


def _spec(**more: Any) -> Json:
    container = {"name": "main", "image": "example.com/none", "resources": {"requests": {"cpu": "100m"}}}
    return {"containers": [container], **more}
