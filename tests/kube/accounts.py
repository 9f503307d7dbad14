"""Users with limited rights in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.localcluster import ClusterHandle

Rules = Sequence[dict[str, Any]]
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


def account(cluster: ClusterHandle, namespace: str, user: str, folder: Path, *, everywhere: Rules, here: Rules) -> Path:
    """Make a person with some rights.

    Args:
        cluster: where.
        namespace: the namespace of `here`.
        user: a unique name.
        folder: gets the kubeconfig.
        everywhere: rules of a ClusterRole.
        here: rules of a Role.

    Returns:
        A kubeconfig that acts as this person.
    """
    for kind, where, rules in (("ClusterRole", _RBAC, everywhere), ("Role", f"{_RBAC}/namespaces/{namespace}", here)):
        cluster.api.request("POST", f"{where}/{kind.lower()}s", {"metadata": {"name": user}, "rules": list(rules)})
        subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}
        role = {"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": user}
        binding = {"metadata": {"name": user}, "subjects": [subject], "roleRef": role}
        cluster.api.request("POST", f"{where}/{kind.lower()}bindings", binding)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for each in config["users"]:
        each["user"]["as"] = user
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
