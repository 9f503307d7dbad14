"""The cluster's name server: CoreDNS on the switch of the real nodes."""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path

from tools.localcluster import host
from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.kubeconfig import write_kubeconfig
from tools.localcluster.network import Network
from tools.localcluster.pki import issue, load_authority
from tools.localcluster.realnode import CLUSTER_DOMAIN

READY_PORT = 8181
_USER = "moorage:cluster-dns"
_RULES = [
    {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


def write_files(directory: Path, server: str, network: Network) -> None:
    """Writes its configuration and identity into the cluster's folder."""
    authority = load_authority(directory / "pki", "ca")
    kubeconfig = write_kubeconfig(
        directory / "coredns.kubeconfig",
        server=server,
        ca=authority.pair.certificate,
        user=_USER,
        client=issue(authority, _USER),
    )
    (directory / "Corefile").write_text(
        f"""\
.:53 {{
    errors
    ready {network.dns}:{READY_PORT}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
    cache 5
}}
"""
    )


def grant(api: ApiClient) -> None:
    """Grants the rights to read what it answers from. Does nothing if they exist."""
    group = "/apis/rbac.authorization.k8s.io/v1"
    role = {"metadata": {"name": _USER}, "rules": _RULES}
    binding = {
        "metadata": {"name": _USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _USER}],
    }
    for kind, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        try:
            api.request("POST", f"{group}/{kind}", body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


def command(program: Path, directory: Path, switch: int) -> list[str]:
    """Command that runs it in the network of the process with the pid `switch`."""
    entering = [host.program("nsenter"), f"--net=/proc/{switch}/ns/net", "--"]
    return [*entering, str(program), "-conf", str(directory / "Corefile")]


def is_ready(network: Network) -> bool:
    """Whether it answers from the API server's objects."""
    connection = http.client.HTTPConnection(network.dns, READY_PORT, timeout=2)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
