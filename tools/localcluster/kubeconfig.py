"""kubeconfig files."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from moorage.controller.pki import KeyPair
from tools.localcluster.pki import write_private


def write_kubeconfig(
    path: Path,
    *,
    server: str,
    ca: bytes,
    user: str,
    client: KeyPair | None = None,
    token: str | None = None,
    cluster: str = "moorage",
) -> Path:
    """Writes a kubeconfig (0600) that contains its credentials, so it can be copied."""
    credentials: dict[str, str] = {}
    if token is not None:
        credentials["token"] = token
    if client is not None:
        credentials["client-certificate-data"] = base64.b64encode(client.certificate).decode()
        credentials["client-key-data"] = base64.b64encode(client.key).decode()
    authority = base64.b64encode(ca).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    return write_private(path, yaml.safe_dump(config, sort_keys=False).encode())
