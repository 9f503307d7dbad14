"""Finds the proxy for the API server: from the kubeconfig, else from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from moorage.ops import proxies
from moorage.ops.proxies import Proxy

from .access import CredentialsError


def check(url: str, field: str) -> Proxy:
    """Return the proxy of a kubeconfig if it can be used.

    Raises:
        CredentialsError: it cannot. The message does not show the URL.
    """
    try:
        return Proxy(proxies.checked(url, field), "proxy-url of the kubeconfig")
    except proxies.ProxyError as error:
        raise CredentialsError(str(error)) from None


def from_environment(server: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy in the environment, or None (``moorage.ops.proxies``).

    Raises:
        CredentialsError: the proxy in the variable is unusable.
    """
    parts = urlsplit(server)
    try:
        return proxies.find(parts.hostname or "", parts.port, environ, scheme=parts.scheme)
    except proxies.ProxyError as error:
        raise CredentialsError(str(error)) from None
