"""The webhook in one term of the leader: it answers, and the API server is told to ask while pods are expected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from moorage.controller.fence import Fence
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock

from ..promised.expected import Expected
from .configuration import Registration, Target
from .mutate import Mutator

if TYPE_CHECKING:
    from .service import WebhookService

logger = logging.getLogger("moorage.pinner.webhook")

GLANCE = 1.0
"""Seconds between two looks at what is expected, at what was admitted and has not come, and at whether we are asked."""


class Admission:
    """The webhook as a leader uses it.

    Args:
        service: what runs in every replica.
        target: where the API server finds it.
    """

    def __init__(self, service: WebhookService, target: Target) -> None:
        self._service, self._target = service, target

    async def term(
        self,
        client: Client,
        fence: Fence,
        expected: Expected,
        mutator: Mutator,
        clock: ServerClock,
        serving: Callable[[bool], None],
    ) -> None:
        """Work until cancelled.

        Args:
            client: the API server.
            fence: lets writes through while we lead.
            expected: which pods are expected.
            mutator: gives the answers.
            clock: the API server's time.
            serving: called with whether API servers ask, as far as is known, again and again.
        """
        registration = Registration(client, fence, self._target, self._service.bundle, lambda: expected.any, serving)
        self._service.changed = registration.recheck
        try:
            with self._service.answering(mutator):
                async with asyncio.TaskGroup() as group:
                    group.create_task(registration.run(), name="webhook configuration")
                    group.create_task(_glance(registration, expected, clock), name="expected pods")
        finally:
            self._service.bundle.published(None)  # whoever leads next sees to the configuration

    def recheck(self) -> None:
        """Pods are expected that were not, or the other way round: the API server may have to be told."""
        self._service.changed()

    async def withdraw(self, client: Client, fence: Fence) -> None:
        """Have nobody asked any more.

        Args:
            client: the API server.
            fence: lets writes through while we lead.

        Raises:
            KubeError: it cannot be read or written.
            NotLeading: we lead no more.
        """
        await Registration(client, fence, self._target, self._service.bundle, lambda: False).ensure()


async def _glance(registration: Registration, expected: Expected, clock: ServerClock) -> None:
    while True:
        await asyncio.sleep(GLANCE)
        for claim in expected.pass_time(clock.now()):
            fields = {"node": claim.node, "claim": claim.id, "owner": claim.pod.metadata.generate_name}
            logger.info("pinned pod never came, its slot is free again", extra=fields)
        registration.recheck_if_changed()
        registration.report_serving()
