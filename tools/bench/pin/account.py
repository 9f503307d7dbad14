"""Whom all contenders are to the API server: a ServiceAccount with a token, as a pod in a cluster has it.

Not the administrator's client certificate. The API server verifies a certificate on every request, where a token is
looked up among those it has verified in the last seconds; and OpenSSL sends the CA along, which makes the certificate
dearer for a Python program than for a Go one. Neither happens to a program that runs in a pod.
"""

from __future__ import annotations

from pathlib import Path

from tools.bench.pin.scene import HOME
from tools.localcluster import ClusterHandle
from tools.localcluster.kubeconfig import write_kubeconfig

NAME = "bench-contender"
LASTS = 6 * 3600
"""Seconds for which the token is good: longer than any benchmark."""
_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def kubeconfig(cluster: ClusterHandle, folder: Path) -> Path:
    """Make the ServiceAccount, in the namespace `scene.HOME` that is there, and a kubeconfig with its token.

    Args:
        cluster: the control plane.
        folder: where the file goes; readable for the image's user, so it must lie in a folder that is not for all.

    Returns:
        The kubeconfig; it holds the token as its only credential.
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
