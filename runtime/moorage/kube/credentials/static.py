"""Static credentials: a token or a client certificate, inline or in files that are rotated."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable

from .access import CredentialsError, Headers
from .files import Material, content
from .tls import KeyPair, TlsContexts

YOUNG = 10.0
"""Seconds after a change of a file during which a refused request may still have used the previous credential."""


class StaticAuthenticator:
    """Token and client certificate from a kubeconfig or a pod's service account.

    Args:
        source: file and context, for messages.
        tls: creates the TLS settings; None for plain HTTP.
        token: bearer token; surrounding white space is ignored.
        certificate: client certificate chain and key.
        headers: further headers (impersonation).
        monotonic: seconds on a monotonic clock (for tests).
    """

    def __init__(
        self,
        source: str,
        tls: TlsContexts | None,
        *,
        token: Material | None = None,
        certificate: tuple[Material, Material] | None = None,
        headers: Headers | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._tls = tls
        self._token = token
        self._certificate = certificate
        self._headers = dict(headers or {})
        self._monotonic = monotonic
        self._last: tuple[bytes, KeyPair | None] | None = None
        self._bearer: tuple[bytes, Headers] | None = None  # the token that the headers were made of, and the headers
        self._changed_at = -math.inf

    async def headers(self) -> Headers:
        """See ``Authenticator``. Reads a token file when it has changed: a few hundred bytes need no thread."""
        token, _ = self._read()
        if self._token is None:
            return self._headers
        if self._bearer is None or self._bearer[0] != token:
            self._bearer = token, {**self._headers, **bearer(token, self._source)}
        return self._bearer[1]

    def ssl_context(self) -> ssl.SSLContext | None:
        """See ``Authenticator``."""
        return self._tls.current(self._read()[1]) if self._tls else None

    async def refused(self) -> bool:
        """See ``Authenticator``. A retry helps when a token or certificate file has just changed."""
        self._read(now=True)
        return self._monotonic() - self._changed_at < YOUNG

    def _read(self, *, now: bool = False) -> tuple[bytes, KeyPair | None]:
        token = b"" if self._token is None else content(self._token, now=now)
        pair = None
        if self._certificate is not None:
            pair = content(self._certificate[0], now=now), content(self._certificate[1], now=now)
        if self._last is not None and (token, pair) != self._last:
            self._changed_at = self._monotonic()
        self._last = token, pair
        return self._last


def bearer(token: bytes, source: str) -> dict[str, str]:
    """The ``Authorization`` header for a token.

    Raises:
        CredentialsError: the token is not a valid header value (it holds a line break, or it is not text).
    """
    text = token.strip()
    if not text or not all(0x21 <= byte <= 0x7E for byte in text):
        raise CredentialsError(
            f"{source}: token: empty, or with characters that no token has. Fetch a new one and write only the token"
        )
    return {"Authorization": f"Bearer {text.decode('ascii')}"}
