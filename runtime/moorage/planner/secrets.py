"""The planner's two Secrets: filled if they are empty, kept valid, and read again regularly.

One Secret holds the certificate and its authority, for planners only. The other one holds the API key and the
authority's certificate, for pod pinners. The charts create both without data. Only stored data is served: a key or
certificate is used after it was read back. Every write carries the resourceVersion that it is based on, and each write
is complete by itself. So planners that start at the same time, or end between two writes, end with the same data.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from moorage.controller import certificates
from moorage.controller.certificates import AUTHORITY, Unusable
from moorage.controller.pki import KeyPair
from moorage.controller.serving import TRIES, SecretWriter, ServingCertificate
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import Secret as SecretObject
from moorage.ops import keys
from moorage.ops.configuration import SettingsError
from moorage.ops.secret import Secret

from . import metrics

logger = logging.getLogger(__name__)

API_KEY = "API_KEY"
"""The key in the pinners' Secret."""
PROGRAM = "moorage-planner"
REFRESH = 30.0
"""Seconds between two checks of the Secrets."""
FIRST_RETRY, LAST_RETRY = 1.0, 15.0


class SecretController:
    """Maintains the Secrets and provides their content.

    Args:
        client: the API server.
        namespace: the namespace of the Secrets.
        tls_secret: the Secret with the certificate; empty when files hold it.
        client_secret: the Secret for pinners; empty when none is published.
        names: DNS names and IP addresses of the certificate.
        own_key: returns the configured key, or None. Without one, the key in the pinners' Secret applies.
        own_authority: returns the authority of a certificate in files, which is published; None when there is none.
        on_problem: is called once for each problem, for an Event.
        now: UTC.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        *,
        tls_secret: str = "",
        client_secret: str = "",
        names: Sequence[str] = (),
        own_key: Callable[[], Secret | None] = lambda: None,
        own_authority: Callable[[], bytes | None] = lambda: None,
        on_problem: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets = SecretWriter(client, namespace, PROGRAM)
        self._certificate = ServingCertificate(self._secrets, tls_secret, names, PROGRAM, now=now)
        self._tls_secret, self._client_secret = tls_secret, client_secret
        self._own_key, self._own_authority = own_key, own_authority
        self._on_problem = on_problem
        self._pair: KeyPair | None = None
        self._key: Secret | None = None
        self._complaint = ""
        self.complete = asyncio.Event()
        """Set once all data was there. The data stays in use if a Secret is emptied later."""

    def pair(self) -> KeyPair | None:
        """The serving certificate that was read last."""
        return self._pair

    def api_key(self) -> Secret | None:
        """The API key that was read last."""
        return self._key

    async def run(self) -> None:
        """Maintain the Secrets until cancelled."""
        delay = FIRST_RETRY
        while True:
            try:
                await self.ensure()
            except (errors.KubeError, Unusable, SettingsError) as error:
                self._complain(str(error))
                await asyncio.sleep(delay if not self.complete.is_set() else REFRESH)
                delay = min(delay * 2, LAST_RETRY)
                continue
            if self._complaint:
                self._complaint = ""
                logger.info("secrets are complete again")
            self.complete.set()
            await asyncio.sleep(REFRESH)

    async def ensure(self) -> None:
        """Check both Secrets once, and write the missing parts.

        Raises:
            KubeError: a Secret cannot be read or written.
            Unusable: a Secret holds data that is not ours to replace.
            SettingsError: the configured key cannot be read.
        """
        authority = await self._keep_certificate() if self._tls_secret else self._own_authority()
        if self._client_secret:
            await self._keep_client(authority)
        else:
            self._key = self._own_key()

    # --- the certificate ---

    async def _keep_certificate(self) -> bytes:
        """Returns the certificate of the authority."""
        pair, authority = await self._certificate.ensure()
        if pair != self._pair:
            self._pair = pair
            ends = certificates.expiry(pair.certificate)
            metrics.CERTIFICATE_ENDS.set(ends.timestamp())
            fields = {"object": self._tls_secret, "ends": ends.isoformat()}
            logger.info("certificate is served from now on", extra=fields)
        return authority

    # --- the Secret for pinners ---

    async def _keep_client(self, authority: bytes | None) -> None:
        for _ in range(TRIES):
            secret = await self._secrets.get(self._client_secret)
            stored = self._stored_key(secret)
            wanted = self._own_key() or stored or Secret(secrets.token_urlsafe(32))
            new = {} if stored == wanted else {API_KEY: wanted.reveal().encode()}
            if authority is not None and secret.data.get(AUTHORITY) != authority:
                new[AUTHORITY] = authority
            if not new:
                if self._key is not None and self._key != wanted:
                    logger.info("another API key is used from now on", extra={"object": self._client_secret})
                self._key = keys.check(wanted, self._secrets.named(self._client_secret))
                return
            keys.check(wanted, self._secrets.named(self._client_secret))
            if await self._secrets.write(secret, new):
                fields = {"object": self._client_secret, "keys": sorted(new)}
                logger.info("API key and authority are published for pod pinners", extra=fields)
        raise self._secrets.fight(self._client_secret)

    def _stored_key(self, secret: SecretObject) -> Secret | None:
        try:
            key = Secret(secret.data.get(API_KEY, b"").decode("ascii"))
        except UnicodeDecodeError:
            where = self._secrets.named(self._client_secret)
            raise Unusable(f"{where}: {API_KEY} is not printable ASCII. Empty it to have it filled again") from None
        return key or None

    def _complain(self, sentence: str) -> None:
        """Log a problem once, and again only when it changes."""
        level = logging.DEBUG if sentence == self._complaint else logging.ERROR
        logger.log(level, "secrets are incomplete, trying again", extra={"error": sentence})
        if sentence != self._complaint:
            self._complaint = sentence
            self._on_problem(sentence)
