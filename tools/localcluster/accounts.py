"""Accounts with few rights, as programs in pods have them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster.cluster import ClusterHandle
from tools.localcluster.errors import ClusterError
from tools.localcluster.kubeconfig import write_kubeconfig

Rules = Sequence[Mapping[str, Any]]
TOKEN_SECONDS = 3600
_RBAC = "rbac.authorization.k8s.io"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_PATIENCE = 60.0


def apply(cluster: ClusterHandle, path: str, manifest: Mapping[str, Any]) -> None:
    """Create or replace an object."""
    name, query = manifest["metadata"]["name"], "fieldManager=moorage-localcluster&force=true"
    cluster.api.request("PATCH", f"{path}/{name}?{query}", manifest, "application/apply-patch+yaml")


def namespace(cluster: ClusterHandle, name: str) -> None:
    """Create a namespace if it does not exist."""
    apply(cluster, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def service_account(cluster: ClusterHandle, namespace: str, name: str, folder: Path) -> Path:
    """Create a service account if it does not exist.

    Args:
        cluster: the cluster.
        namespace: an existing namespace.
        name: of the account.
        folder: for the kubeconfig.

    Returns:
        A kubeconfig with a token that is valid for an hour.
    """
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    apply(cluster, path, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    return token(cluster, namespace, name, folder)


def token(cluster: ClusterHandle, namespace: str, name: str, folder: Path) -> Path:
    """A kubeconfig with a service account's token that is valid for an hour."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    made = cluster.api.request("POST", path, {"spec": {"expirationSeconds": TOKEN_SECONDS}})["status"]["token"]
    folder.mkdir(mode=0o700, exist_ok=True)
    return write_kubeconfig(
        folder / f"{name}.kubeconfig",
        server=cluster.server,
        ca=cluster.ca_file.read_bytes(),
        user=name,
        token=made,
    )


def user(namespace: str, name: str) -> str:
    """The API server's user name for a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def group(namespace: str) -> str:
    """The API server's group for all service accounts of a namespace."""
    return f"system:serviceaccounts:{namespace}"


def grant(cluster: ClusterHandle, who: str, name: str, rules: Rules, *, within: str = "") -> None:
    """Grant rights. Returns once the API server enforces them.

    Args:
        cluster: the cluster.
        who: a `user` or `group`.
        name: name of the role and its binding.
        rules: the rights.
        within: the namespace of the rights; empty for the whole cluster.

    Raises:
        ClusterError: the API server does not enforce them in time.
    """
    kind, place = ("Role", f"/apis/{_RBAC}/v1/namespaces/{within}") if within else ("ClusterRole", f"/apis/{_RBAC}/v1")
    meta = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": name}}
    apply(cluster, f"{place}/{kind.lower()}s", {**meta, "kind": kind, "rules": list(rules)})
    binding = {
        **meta,
        "kind": f"{kind}Binding",
        "subjects": [{"kind": _kind(who), "apiGroup": _RBAC, "name": who}],
        "roleRef": {"kind": kind, "apiGroup": _RBAC, "name": name},
    }
    apply(cluster, f"{place}/{kind.lower()}bindings", binding)
    end = time.monotonic() + _PATIENCE
    while not all(_allowed(cluster, who, rule, within) for rule in rules):
        if time.monotonic() > end:
            raise ClusterError(f"the API server has not read {kind} {name} within {_PATIENCE:g} s", cluster.logs)
        time.sleep(0.05)


def _kind(who: str) -> str:
    return "Group" if who.startswith("system:serviceaccounts:") else "User"


def _allowed(cluster: ClusterHandle, who: str, rule: Mapping[str, Any], within: str) -> bool:
    resource, _, subresource = rule["resources"][-1].partition("/")
    attributes = {
        "verb": rule["verbs"][-1],
        "group": rule["apiGroups"][-1],
        "resource": resource,
        "subresource": subresource,
        "name": (rule.get("resourceNames") or [""])[-1],
        "namespace": within,
    }
    subject = {"user": "somebody", "groups": [who]} if _kind(who) == "Group" else {"user": who}
    review = {"spec": {**subject, "resourceAttributes": attributes}}
    return bool(cluster.api.request("POST", _REVIEWS, review)["status"]["allowed"])
