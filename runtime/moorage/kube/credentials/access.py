"""The interface between credentials and transport."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlsplit

from moorage.kube.errors import KubeError
from moorage.ops.parsing import host_name
from moorage.ops.proxies import Proxy

Headers = Mapping[str, str | tuple[str, ...]]
"""Headers of a request. One with several values is sent once for each of them."""


class CredentialsError(KubeError):
    """The configuration or a credential is unusable. The message names file, context, field and the way out."""


class Authenticator(Protocol):
    """Authenticates our requests.

    Call ``headers()`` first: it may fetch a client certificate that ``ssl_context()`` needs.
    """

    async def headers(self) -> Headers:
        """Headers for one request, such as ``Authorization``. The call is cheap while the credential is valid.

        Raises:
            CredentialsError: no credential is available.
        """

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS settings, None for plain HTTP. The same object is returned until a certificate or CA changes.

        Raises:
            CredentialsError: a certificate, key or CA is unusable.
        """

    async def refused(self) -> bool:
        """Handle a 401: drop the cached credential. Returns whether a retry may help."""


@dataclass(frozen=True)
class Access:
    """How to reach one API server.

    Attributes:
        server: URL, including a path prefix if there is one.
        namespace: the namespace of the context or the pod; None when it has none.
        authenticator: authenticates our requests.
        proxy: the proxy (HTTP or SOCKS); None for a direct connection.
        source: the origin of the configuration, for messages: ``in-cluster``, or file and context.
        tls_server_name: the name for SNI and for the check of the certificate; None for the URL's host.
    """

    server: str
    namespace: str | None
    authenticator: Authenticator = field(repr=False)
    proxy: Proxy | None
    source: str
    tls_server_name: str | None = None


def server_url(url: str) -> str:
    """Normalise the URL of an API server.

    Returns:
        The URL without query, fragment and slash at its end.

    Raises:
        ValueError: it is not a URL of a server, or it has a user.
    """
    parts = urlsplit(url)
    host_name(parts.hostname or "")
    if parts.scheme not in ("http", "https") or parts.port == 0 or parts.username is not None:
        raise ValueError("not a server's URL")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return parts._replace(path=path, query="", fragment="").geturl().rstrip("/")
