"""The webhook as every replica runs it: a server with a certificate that is kept, and whoever answers in this term.

Only the leader pins. The others admit unchanged and end the connection, so that the API server comes to the leader.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from moorage.controller.certificates import Unusable, expiry
from moorage.controller.pki import KeyPair
from moorage.kube import errors
from moorage.ops.parsing import Address

from .. import metrics
from .configuration import Bundle
from .mutate import Mutator
from .review import Malformed, answer, read
from .server import Webhook, serve

logger = logging.getLogger("moorage.pinner.webhook")

REFRESH = 10.0
"""Seconds between looks at the Secret."""
PROPAGATION = 15.0
"""Seconds until all API servers believe a new authority; until then the old certificate is shown."""

Certificate = Callable[[], Awaitable[tuple[KeyPair, bytes]]]
"""The certificate as it is stored, and its authority's."""


class WebhookService:
    """What lives as long as the process.

    Args:
        address: where to listen.
        certificate: reads, and keeps, what to serve with.
        is_leader: asked as an answer is given.
        on_problem: told about each problem with the certificate once, for an Event.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        address: Address,
        certificate: Certificate,
        is_leader: Callable[[], bool],
        *,
        on_problem: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._certificate, self._is_leader = address, certificate, is_leader
        self._on_problem, self._monotonic = on_problem, monotonic
        self._mutator: Mutator | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._shown: KeyPair | None = None
        self._authority = b""
        self._believed_at = 0.0
        self._complaint = ""
        self.bundle = Bundle(monotonic)
        self.changed: Callable[[], None] = lambda: None
        """Told that the bundle is another one."""

    @property
    def ready(self) -> bool:
        """Whether there is a certificate to serve with."""
        return self._shown is not None

    @contextmanager
    def answering(self, mutator: Mutator) -> Iterator[None]:
        """A block, that of a term, in which pods are pinned.

        Args:
            mutator: gives the answers.
        """
        self._mutator = mutator
        try:
            yield
        finally:
            self._mutator = None

    def respond(self, body: bytes) -> tuple[bytes, bool]:
        """The answer to a review, and whether the connection may be kept.

        Args:
            body: of the request.
        """
        mutator = self._mutator
        if mutator is not None and self._is_leader():
            return mutator.respond(body), True
        metrics.ADMITTED.labels("standby").inc()
        try:
            return answer(read(body)), False
        except Malformed as error:
            return error.answer, False

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ServerError: the address cannot be listened on.
        """
        while not self.ready:
            await self._look()
            if not self.ready:
                await asyncio.sleep(1.0)
        async with serve(Webhook(self.respond), self._address, self._context) as address:
            logger.info("webhook listens", extra={"address": str(address)})
            while True:
                await asyncio.sleep(REFRESH)
                await self._look()

    async def _look(self) -> None:
        try:
            pair, authority = await self._certificate()
            self._take(pair, authority)
        except (errors.KubeError, Unusable, OSError, ValueError) as error:  # of TLS, or too many open files
            self._complain(str(error))
        else:
            self._complaint = ""

    def _take(self, pair: KeyPair, authority: bytes) -> None:
        """Believe an authority first, and show its certificate once everybody does."""
        now = self._monotonic()
        if authority != self._authority:
            self._believed_at = now + PROPAGATION if self.ready else now
            self._authority = authority
            self.bundle.use(authority)
            self.changed()
        believed = now >= self._believed_at and self.bundle.published_for() >= PROPAGATION
        if pair != self._shown and (believed or not self.ready):
            _load(self._context, pair)
            self._shown = pair
            ends = expiry(pair.certificate)
            metrics.CERTIFICATE_ENDS.set(ends.timestamp())
            logger.info("certificate is served from now on", extra={"ends": ends.isoformat()})

    def _complain(self, sentence: str) -> None:
        """Say once what is wrong, and again only when it is something else."""
        level = logging.DEBUG if sentence == self._complaint else logging.ERROR
        logger.log(level, "webhook certificate is not as it should be, trying again", extra={"error": sentence})
        if sentence != self._complaint:
            self._complaint = sentence
            self._on_problem(sentence)


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Have a certificate shown from now on; OpenSSL reads files only, and a key never goes to a disk.

    Raises:
        SSLError: the two do not belong together, or are none.
    """
    descriptor = os.memfd_create("webhook", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pair.certificate.rstrip() + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
