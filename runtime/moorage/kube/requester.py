"""The part of the transport that leases and events need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .clock import ServerClock


class Requester(Protocol):
    """One call and the server's clock. Tests put a small server in its place."""

    @property
    def clock(self) -> ServerClock:
        """The API server's time."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> bytes:
        """Send one request and return the body of a 2xx response. Raises ``KubeError`` for all others."""
