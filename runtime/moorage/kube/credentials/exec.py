"""Keeps what an exec plugin returned for as long as it is valid."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .plugin import Credential
from .static import YOUNG, bearer
from .tls import TlsContexts

MARGIN = timedelta(seconds=10)
"""Time before its expiry from which a credential is fetched anew, or a tenth of its life if that is shorter."""


class CredentialSource(Protocol):
    """Something that fetches a credential, normally a ``Plugin``."""

    @property
    def source(self) -> str:
        """File and context, for messages."""

    async def run(self) -> Credential:
        """Fetch one; raises ``CredentialsError``."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ExecAuthenticator:
    """Token and client certificate from an exec plugin.

    Args:
        plugin: fetches credentials.
        tls: TLS settings.
        headers: further headers (impersonation).
        now: this machine's time (an expiry is written by the plugin, which runs here).
        monotonic: seconds on a monotonic clock (for tests).
    """

    def __init__(
        self,
        plugin: CredentialSource,
        tls: TlsContexts,
        *,
        headers: Mapping[str, str] | None = None,
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

    async def headers(self) -> Mapping[str, str]:
        """See ``Authenticator``; runs the plugin when there is no valid credential, once for all who wait."""
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
        """See ``Authenticator``; drops the credential at most once in ``YOUNG`` seconds: 401s cannot run a plugin wild.

        Many requests may have been refused with the same credential: all are told to try again with the next one.
        """
        if self._monotonic() - self._dropped_at >= YOUNG:
            self._credential, self._dropped_at = None, self._monotonic()
        return True

    def _fetch(self) -> Awaitable[None]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._run_plugin())
            self._fetching.add_done_callback(_retrieve)
        return asyncio.shield(self._fetching)  # one waiter that gives up does not take it from the others

    async def _run_plugin(self) -> None:
        credential = await self._plugin.run()
        now = self._now()
        self._refresh_at = None
        if credential.expires is not None:
            life = credential.expires - now
            self._refresh_at = max(credential.expires - min(life / 10, MARGIN), now)
        self._credential = credential


def _retrieve(task: asyncio.Task[None]) -> None:
    """Look at a failure even if all who waited for it have gone, else asyncio reports it as forgotten."""
    if not task.cancelled():
        task.exception()
