"""Whom the API server asks: the chart brings an empty MutatingWebhookConfiguration, and the leader fills it.

It is filled only while pods are expected, so that creating a pod costs nothing at other times. Authorities overlap: one
that is replaced stays in the bundle for ``OVERLAP`` seconds, because API servers learn of a change one after the other.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moorage.controller.fence import Fence
from moorage.kube import errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.objects import MutatingWebhookConfiguration

from ..names import COMPONENT_LABEL, COMPONENT_NAME, WEBHOOK

logger = logging.getLogger("moorage.pinner.webhook")

PATH = "/mutate"
"""Where reviews are answered."""
OVERLAP = 600.0
"""Seconds for which a replaced authority is still believed."""
REFRESH = 60.0
"""Seconds between two looks: others may have changed it."""
SETTLES = 3.0
"""Seconds after which API servers ask us: each learns by watches that it is to ask, and who is behind the Service."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the webhook is.

    Attributes:
        configuration: name of the MutatingWebhookConfiguration.
        client_config: how it is reached: a ``service``, or a ``url``.
        timeout: seconds that the API server waits.
    """

    configuration: str
    client_config: Mapping[str, Any]
    timeout: int


def webhook(target: Target, bundle: bytes) -> dict[str, Any]:
    """The webhook as it is to stand in the configuration, every field that the API server would fill in included.

    Args:
        target: where it is.
        bundle: authorities, in PEM form.
    """
    return {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {**target.client_config, "caBundle": base64.b64encode(bundle).decode()},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {
            "matchExpressions": [{"key": COMPONENT_LABEL, "operator": "NotIn", "values": [COMPONENT_NAME]}]
        },
        "reinvocationPolicy": "IfNeeded",
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }
        ],
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": target.timeout,
    }


class Bundle:
    """The authorities that are believed: the one in use, and those that were until a moment ago.

    Args:
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until: dict[bytes, float] = {}
        self._current = b""
        self._asked = False
        self._published_at = math.inf

    def use(self, authority: bytes) -> None:
        """An authority is in use from now on."""
        if authority == self._current:
            return
        if self._current:
            self._until[self._current] = self._monotonic() + OVERLAP
        self._until.pop(authority, None)
        self._current = authority
        self._published_at = math.inf

    def published(self, pem: bytes | None) -> None:
        """What the API servers are told to believe from now on, or (None) that they are told to ask nobody."""
        self._asked = pem is not None
        there = bool(self._current) and self._current in (pem or b"")
        self._published_at = min(self._published_at, self._monotonic()) if there else math.inf

    def published_for(self) -> float:
        """For how many seconds API servers that ask have been told to believe the authority in use."""
        return self._monotonic() - self._published_at if self._asked else math.inf

    def pem(self) -> bytes:
        """All of them, the one in use first; empty while there is none."""
        now = self._monotonic()
        self._until = {each: until for each, until in self._until.items() if until > now}
        return b"".join(
            each if each.endswith(b"\n") else each + b"\n" for each in (self._current, *self._until) if each
        )


class Registration:
    """Keeps the configuration as it is to be, for one term.

    Args:
        client: the API server.
        fence: lets writes through while we lead.
        target: where the webhook is.
        bundle: the authorities.
        wanted: whether pods are expected.
        serving: called with whether API servers ask, as far as is known, again and again.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        client: Client,
        fence: Fence,
        target: Target,
        bundle: Bundle,
        wanted: Callable[[], bool],
        serving: Callable[[bool], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._serving, self._monotonic = serving, monotonic
        self._asked_since = math.inf
        self._client, self._fence, self._target = client, fence, target
        self._bundle, self._wanted = bundle, wanted
        self._recheck = asyncio.Event()
        self._heeded: bool | None = None  # whether pods were expected at the last look
        self._written: tuple[object, object] | None = None  # what we wrote last, and what the API server made of it
        self._complaint = ""

    def recheck(self) -> None:
        """Something may be wanted that was not, or the other way round."""
        self._recheck.set()

    def recheck_if_changed(self) -> None:
        """Look again if pods are expected that were not at the last look, or the other way round."""
        if self._wanted() is not self._heeded:
            self.recheck()

    async def run(self) -> None:
        """Keep it until cancelled.

        Raises:
            NotLeading: we lead no more.
        """
        backoff = Backoff()
        while True:
            self._recheck.clear()
            try:
                await self.ensure()
            except errors.KubeError as error:
                delay = backoff.next()
                self._complain(str(error))
                await asyncio.sleep(delay)
                continue
            backoff.reset()
            self._complaint = ""
            try:
                async with asyncio.timeout(REFRESH):
                    await self._recheck.wait()
            except TimeoutError:
                pass

    async def ensure(self) -> None:
        """Look once, and write if it is not as it is to be.

        Raises:
            KubeError: it cannot be read or written.
            NotLeading: we lead no more.
        """
        pem, wanted = self._bundle.pem(), self._wanted()
        self._heeded = wanted
        entry = webhook(self._target, pem) if pem and wanted else None
        async with self._fence.read():
            found = await self._client.get(resources.MUTATING_WEBHOOKS, self._target.configuration)
        if found.webhooks != ((entry,) if entry is not None else ()) and (entry, found.webhooks) != self._written:
            await self._write(found, entry)
        self._bundle.published(pem if entry is not None else None)
        self._asked_since = min(self._asked_since, self._monotonic()) if entry is not None else math.inf
        self.report_serving()

    def report_serving(self) -> None:
        """Say whether API servers ask us."""
        self._serving(self._monotonic() - self._asked_since >= SETTLES)

    async def _write(self, found: MutatingWebhookConfiguration, entry: dict[str, Any] | None) -> None:
        changes = {"webhooks": [entry] if entry is not None else []}
        answer = await self._fence.patch(self._client, resources.MUTATING_WEBHOOKS, found, changes)
        self._written = (entry, answer.webhooks)  # a cloud's own webhook may add to it, each time
        fields = {"configuration": found.metadata.name, "asked": entry is not None}
        logger.info("webhook configuration written", extra=fields)

    def _complain(self, sentence: str) -> None:
        """Say once what is wrong, and again only when it is something else."""
        level = logging.DEBUG if sentence == self._complaint else logging.WARNING
        self._complaint = sentence
        fields = {"configuration": self._target.configuration, "error": sentence}
        logger.log(level, "webhook configuration is not as it should be, trying again", extra=fields)
