"""What every service opens before its work: the way to the API server, and the server of its health and metrics."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from moorage.kube import credentials
from moorage.kube.http.transport import Transport
from moorage.ops import health
from moorage.ops.parsing import Address

logger = logging.getLogger(__name__)


class Settings(Protocol):
    """What it takes of a service's settings."""

    @property
    def kubeconfig(self) -> Path | None:
        """A kubeconfig file; None: the account of the pod, or the usual files."""

    @property
    def context(self) -> str | None:
        """A context of it; None: the current one."""

    @property
    def health_address(self) -> Address:
        """Where health and metrics are served."""


@asynccontextmanager
async def opened(settings: Settings, checks: health.Health) -> AsyncIterator[Transport]:
    """Serve health and metrics while the context lasts.

    Args:
        settings: of the service.
        checks: what /readyz and /livez depend on.

    Yields:
        The way to the API server.

    Raises:
        KubeError: the credentials cannot be used.
        HealthError: the health server cannot be started.
    """
    async with (
        Transport(credentials.load(settings.kubeconfig, settings.context)) as transport,
        health.serve(checks, settings.health_address) as address,
    ):
        logger.info("health server listens", extra={"address": str(address)})
        yield transport
