"""Caches the credential of an exec plugin until it expires."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .access import Headers
from .plugin import Credential
from .static import YOUNG, bearer
from .tls import TlsContexts

MARGIN = timedelta(seconds=10)
"""Seconds before its expiry at which a credential is renewed; a tenth of its lifetime when that is shorter."""


class CredentialSource(Protocol):
    """Fetches a credential, normally a ``Plugin``."""

    @property
    def source(self) -> str:
        """File and context, for messages."""

    async def run(self) -> Credential:
        """Fetch a credential. Raises ``CredentialsError``."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ExecAuthenticator:
    """Token and client certificate from an exec plugin.

    Args:
        plugin: fetches credentials.
        tls: creates the TLS settings.
        headers: further headers (impersonation).
        now: this machine's time: the plugin, which runs here, writes the expiry.
        monotonic: seconds on a monotonic clock (for tests).
    """

    def __init__(
        self,
        plugin: CredentialSource,
        tls: TlsContexts,
        *,
        headers: Headers | None = None,
        now: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plugin = plugin
        self._tls = tls
        self._headers = dict(headers or {})
        self._now = now
        self._monotonic = monotonic
        self._credential: Credential | None = None
        self._refresh_at: datetime | None = None
        self._dropped_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def headers(self) -> Headers:
        """See ``Authenticator``. Without a valid credential, runs the plugin once for all waiting requests."""
        if self._credential is None or (self._refresh_at is not None and self._now() >= self._refresh_at):
            await self._fetch()
        credential = self._credential
        if credential is None or credential.token is None:
            return self._headers
        return {**self._headers, **bearer(credential.token.encode(), self._plugin.source)}

    def ssl_context(self) -> ssl.SSLContext | None:
        """See ``Authenticator``."""
        return self._tls.current(self._credential.pair if self._credential else None)

    async def refused(self) -> bool:
        """See ``Authenticator``. Drops the credential at most once in ``YOUNG`` seconds, so that 401s cause no loop.

        Several requests may be refused with the same credential. All of them are retried with the next one.
        """
        if self._monotonic() - self._dropped_at >= YOUNG:
            self._credential, self._dropped_at = None, self._monotonic()
        return True

    def _fetch(self) -> Awaitable[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._run_plugin())
            self._fetching.add_done_callback(_retrieve)
        return asyncio.shield(self._fetching)  # a request that is cancelled must not cancel the fetch for the others

    async def _run_plugin(self) -> None:
        credential = await self._plugin.run()
        now = self._now()
        self._refresh_at = None
        if credential.expires is not None:
            life = credential.expires - now
            self._refresh_at = max(credential.expires - min(life / 10, MARGIN), now)
        self._credential = credential


def _retrieve(task: asyncio.Task[None]) -> None:
    """Retrieve the exception even if all waiting requests are cancelled, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
