"""Credentials of a pod: the projected token and CA of its service account."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import proxies
from .access import Access, CredentialsError, server_url
from .files import WatchedFile
from .static import StaticAuthenticator
from .tls import TlsContexts

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SOURCE = "in-cluster"
NO_SERVER = (
    "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not name an API server. "
    "The kubelet sets them; do not overwrite them, or name a kubeconfig"
)


def available(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod with a service account token."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def access(environ: Mapping[str, str]) -> Access:
    """Access through the service account (client-go rest/config.go, InClusterConfig).

    Raises:
        CredentialsError: a file or variable is missing.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port.isdigit():
        raise CredentialsError(f"{SOURCE}: {NO_SERVER}")
    try:
        server = server_url(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
    except ValueError:
        raise CredentialsError(f"{SOURCE}: {NO_SERVER}") from None
    token = WatchedFile(SERVICE_ACCOUNT / "token", f"{SOURCE}: token")
    ca = WatchedFile(SERVICE_ACCOUNT / "ca.crt", f"{SOURCE}: CA")
    token.read()
    tls = TlsContexts(SOURCE, ca)
    tls.current()
    return Access(
        server=server,
        namespace=_namespace(SERVICE_ACCOUNT / "namespace"),
        authenticator=StaticAuthenticator(SOURCE, tls, token=token),
        proxy=proxies.from_environment(server, environ),
        source=SOURCE,
    )


def _namespace(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except (OSError, ValueError):
        return None  # projected only by default
