"""A certificate to serve with, in a Secret: made when that is empty, renewed in time, and read again now and then.

What is served is what is stored: a certificate is used only once it was read back. Every write carries the
resourceVersion that it was decided on, so that programs which start at the same time end with the same data.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Secret

from . import certificates
from .certificates import AUTHORITY, State, Unusable
from .pki import KeyPair

logger = logging.getLogger(__name__)

KEPT_BY_OTHERS = "kubernetes.io/tls"
"""Type of a Secret whose certificate is only read: cert-manager's have it, and those that charts make for us do not."""
TRIES = 10
"""Writes in a row that others were faster with; more of them mean that somebody fights with us."""


class SecretWriter:
    """Reads and fills Secrets that a chart has made.

    Args:
        client: the API server.
        namespace: of the Secrets.
        chart: which chart makes them, for people.
    """

    def __init__(self, client: Client, namespace: str, chart: str) -> None:
        self._client, self._namespace, self._chart = client, namespace, chart

    def named(self, name: str) -> str:
        """A Secret for people."""
        return f"Secret {self._namespace}/{name}"

    async def get(self, name: str) -> Secret:
        """Read one.

        Raises:
            Unusable: there is none.
            KubeError: it cannot be read.
        """
        try:
            return await self._client.get(resources.SECRETS, name, self._namespace)
        except errors.NotFound:
            raise Unusable(
                f"{self.named(name)} does not exist. The chart {self._chart} creates it, empty: upgrade the release, "
                "or create an empty Secret of this name"
            ) from None

    async def write(self, secret: Secret, data: Mapping[str, bytes]) -> bool:
        """Whether it was stored; False when somebody else has written meanwhile.

        Raises:
            KubeError: it cannot be written.
        """
        meta = secret.metadata
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        try:
            await self._client.patch(
                resources.SECRETS,
                meta.name,
                meta.namespace,
                changes={"data": encoded},
                uid=meta.uid,
                resource_version=meta.resource_version,
            )
        except errors.Conflict:
            return False
        return True

    def fight(self, name: str) -> Unusable:
        """Others write again and again."""
        return Unusable(f"{self.named(name)}: others write it again and again, trying later")


class ServingCertificate:
    """Keeps one.

    Args:
        secrets: the way to the Secret.
        secret: its name.
        names: what the certificate is to be valid for.
        program: what shows it, for people who read it.
        now: UTC.
    """

    def __init__(
        self,
        secrets: SecretWriter,
        secret: str,
        names: Sequence[str],
        program: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets, self._secret, self._names, self._program, self._now = secrets, secret, names, program, now

    async def ensure(self) -> tuple[KeyPair, bytes]:
        """Look at it once, and put right what is missing.

        Returns:
            The certificate as it is stored, and its authority's.

        Raises:
            KubeError: it cannot be read or written.
            Unusable: the Secret holds what is not ours to replace, or what others keep in it cannot be used.
        """
        for _ in range(TRIES):
            secret = await self._secrets.get(self._secret)
            data, now = secret.data, self._now()
            try:
                if secret.type == KEPT_BY_OTHERS:
                    return certificates.accept(data, self._names, now)
                state = certificates.judge(data, self._names, now)
            except Unusable as error:
                raise Unusable(f"{self._secrets.named(self._secret)}: {error}") from None
            if state is State.GOOD:
                return KeyPair(data[certificates.CERTIFICATE], data[certificates.CERTIFICATE_KEY]), data[AUTHORITY]
            empty = state is State.EMPTY
            if empty:
                new = certificates.fill(now, self._names, self._program)
            else:
                new = certificates.issue(data, now, self._names, self._program)
            if await self._secrets.write(secret, new):
                message = "authority and certificate made" if empty else "certificate renewed"
                logger.info(message, extra={"object": self._secret, "names": list(self._names)})
        raise self._secrets.fight(self._secret)
