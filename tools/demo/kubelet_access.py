"""The identity of hollow kubelets on a cluster of the user's: a service account that may do what a kubelet must."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

from moorage.kube import errors
from moorage.kube.client import Client

from . import manifests
from .errors import DemoError

NAME = "moorage-demo-kubelet"
TOKEN_SECONDS = 3600
RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PATIENCE = 30.0

# Of ClusterRole system:node only what a kubelet needs for pods without volumes: no Secrets, no tokens.
_RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["create", "get", "list", "watch", "patch", "update"]},
    {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch", "update"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "patch", "update"]},
    {"apiGroups": ["storage.k8s.io"], "resources": ["csinodes"], "verbs": ["create", "get", "patch", "update"]},
    {"apiGroups": ["storage.k8s.io"], "resources": ["csidrivers"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["node.k8s.io"], "resources": ["runtimeclasses"], "verbs": ["get", "list", "watch"]},
]


async def create(client: Client) -> None:
    """Create namespace, service account, role and binding, each with the demo's label."""
    metadata = {"name": NAME, "labels": manifests.LABELS}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": manifests.NAMESPACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    binding = {"roleRef": role, "subjects": [subject]}
    accounts = f"/api/v1/namespaces/{manifests.NAMESPACE}/serviceaccounts"
    for path, body in (
        ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **manifests.namespace()}),
        (accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        (f"{RBAC}/clusterroles", _rbac("ClusterRole", metadata, {"rules": _RULES})),
        (f"{RBAC}/clusterrolebindings", _rbac("ClusterRoleBinding", metadata, binding)),
    ):
        await client.transport.request("POST", path, body=json.dumps(body).encode())


def _rbac(kind: str, metadata: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, **rest}


async def kubeconfig(client: Client) -> dict[str, Any]:
    """A kubeconfig with a token that ends after an hour.

    Raises:
        DemoError: the cluster does not publish its certificate authority.
        KubeError: it refused the token.
    """
    path = f"/api/v1/namespaces/{manifests.NAMESPACE}/serviceaccounts/{NAME}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    answer = json.loads(await client.transport.request("POST", path, body=json.dumps(request).encode()))
    access = client.transport.access
    cluster: dict[str, Any] = {
        "server": access.server,
        "certificate-authority-data": base64.b64encode((await _authority(client)).encode()).decode(),
    }
    if access.tls_server_name:
        cluster["tls-server-name"] = access.tls_server_name
    if access.proxy:
        cluster["proxy-url"] = access.proxy
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": cluster}],
        "users": [{"name": "demo", "user": {"token": answer["status"]["token"]}}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "demo"}}],
    }


async def _authority(client: Client) -> str:
    """The authority that every namespace is told (kube-controller-manager's root CA publisher)."""
    path = f"/api/v1/namespaces/{manifests.NAMESPACE}/configmaps/kube-root-ca.crt"
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return str(json.loads(await client.transport.request("GET", path))["data"]["ca.crt"])
        except errors.NotFound as error:
            if time.monotonic() > end:
                raise DemoError(
                    f"namespace {manifests.NAMESPACE} got no ConfigMap kube-root-ca.crt in {_PATIENCE:g} s: is "
                    "kube-controller-manager running?"
                ) from error
        await asyncio.sleep(0.1)
