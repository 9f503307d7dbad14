"""The account of all contenders on the API server: a ServiceAccount with a token, as a pod has it.

The administrator's client certificate would distort the figures. The API server verifies a certificate on every
request, but caches verified tokens for some seconds. OpenSSL also sends the CA, so a certificate costs more for a
Python program than for a Go program. A program in a pod uses a token.
"""

from __future__ import annotations

from pathlib import Path

from tools.bench.pin.scene import HOME
from tools.localcluster import ClusterHandle
from tools.localcluster.kubeconfig import write_kubeconfig

NAME = "bench-contender"
LASTS = 6 * 3600
"""Lifetime of the token in seconds: longer than any benchmark."""
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def kubeconfig(cluster: ClusterHandle, folder: Path) -> Path:
    """Create the ServiceAccount in the existing namespace `scene.HOME`, and a kubeconfig with its token.

    Args:
        cluster: the control plane.
        folder: for the kubeconfig, which the image's user can read. So it must be in a folder that is not public.

    Returns:
        The kubeconfig. Its token is the only credential.
    """
    accounts = f"/api/v1/namespaces/{HOME}/serviceaccounts"
    cluster.api.request("POST", accounts, {"metadata": {"name": NAME}})
    grant = {
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": HOME}],
    }
    cluster.api.request("POST", _BINDINGS, grant)
    made = cluster.api.request("POST", f"{accounts}/{NAME}/token", {"spec": {"expirationSeconds": LASTS}})
    token = made["status"]["token"]
    ca = cluster.ca_file.read_bytes()
    written = write_kubeconfig(folder / "kubeconfig", server=cluster.server, ca=ca, user=NAME, token=token)
    written.chmod(0o644)
    return written
