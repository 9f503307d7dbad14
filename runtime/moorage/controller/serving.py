"""The serving certificate in a Secret: created if the Secret is empty, renewed in time, and read again regularly.

Only a stored certificate is served: it is used after it was read back. Every write carries the resourceVersion that it
is based on, so that replicas which start at the same time end with the same data.
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
"""The type of a Secret whose certificate is only read: cert-manager uses it, the charts of Moorage do not."""
TRIES = 10
"""Conflicting writes in a row after which another program is assumed to write the Secret all the time."""


class SecretWriter:
    """Reads and writes Secrets that a chart has created.

    Args:
        client: the API server.
        namespace: the namespace of the Secrets.
        chart: the chart that creates them, for messages.
    """

    def __init__(self, client: Client, namespace: str, chart: str) -> None:
        self._client, self._namespace, self._chart = client, namespace, chart

    def named(self, name: str) -> str:
        """The name of a Secret in messages."""
        return f"Secret {self._namespace}/{name}"

    async def get(self, name: str) -> Secret:
        """Read a Secret.

        Raises:
            Unusable: the Secret does not exist.
            KubeError: the Secret cannot be read.
        """
        try:
            return await self._client.get(resources.SECRETS, name, self._namespace)
        except errors.NotFound:
            raise Unusable(
                f"{self.named(name)} does not exist. The chart {self._chart} creates it, empty: upgrade the release, "
                "or create an empty Secret of this name"
            ) from None

    async def write(self, secret: Secret, data: Mapping[str, bytes]) -> bool:
        """Write to a Secret. Returns False when it has changed since it was read.

        Raises:
            KubeError: the Secret cannot be written.
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
        """The error for a Secret that another program writes again and again."""
        return Unusable(f"{self.named(name)}: another program changes it again and again, trying later")


class ServingCertificate:
    """Maintains a serving certificate.

    Args:
        secrets: reads and writes Secrets.
        secret: the name of the Secret.
        names: DNS names and IP addresses of the certificate.
        program: the program that serves with it; it becomes the common name.
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
        """Check the Secret once, and write the missing parts.

        Returns:
            The stored certificate, and the certificate of its authority.

        Raises:
            KubeError: the Secret cannot be read or written.
            Unusable: the Secret holds data that is not ours to replace, or an unusable certificate of another program.
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
                message = "authority and certificate created" if empty else "certificate renewed"
                logger.info(message, extra={"object": self._secret, "names": list(self._names)})
        raise self._secrets.fight(self._secret)
