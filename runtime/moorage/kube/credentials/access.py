"""What credentials mean to the transport: where the server is, and who proves who we are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from moorage.kube.errors import KubeError


class CredentialsError(KubeError):
    """The configuration or a credential is unusable; the message names file, context, field and the way out."""


class Authenticator(Protocol):
    """Proves who we are. Call ``headers()`` before ``ssl_context()``: what the first fetches, the second may carry."""

    async def headers(self) -> Mapping[str, str]:
        """Headers of one request (``Authorization`` and the like); cheap while they are valid.

        Raises:
            CredentialsError: no credential can be had.
        """

    def ssl_context(self) -> ssl.SSLContext | None:
        """Settings of a TLS connection, None for plain HTTP: the same object until a certificate or CA changes.

        Raises:
            CredentialsError: a certificate, key or CA is unusable.
        """

    async def refused(self) -> bool:
        """The server answered 401: forget what is cached; True when one more try may help."""


@dataclass(frozen=True)
class Access:
    """How to reach one API server.

    Attributes:
        server: URL, with the path below which the API lies, if any.
        namespace: the context's or the pod's namespace, None when unsaid.
        authenticator: proves who we are.
        proxy: URL of an HTTP proxy; may hold a password, therefore not shown.
        source: where this comes from, for messages: ``in-cluster`` or file and context.
        tls_server_name: name to ask for and to check the server's certificate against, None for the URL's host.
    """

    server: str
    namespace: str | None
    authenticator: Authenticator = field(repr=False)
    proxy: str | None = field(repr=False)
    source: str
    tls_server_name: str | None = None
