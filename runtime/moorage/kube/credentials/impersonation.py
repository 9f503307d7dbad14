"""Acting as somebody else, as ``kubectl --as`` does: the API server decides who may."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping

from .access import Access, Authenticator

_PREFIX = "impersonate-"


class _As:
    """Proves who we are, and says as whom we act; a kubeconfig's own impersonation gives way."""

    def __init__(self, authenticator: Authenticator, user: str) -> None:
        self._inner = authenticator
        self._user = user

    async def headers(self) -> Mapping[str, str]:
        ours = await self._inner.headers()
        kept = {name: value for name, value in ours.items() if not name.lower().startswith(_PREFIX)}
        return {**kept, "Impersonate-User": self._user}

    def ssl_context(self) -> ssl.SSLContext | None:
        return self._inner.ssl_context()

    async def refused(self) -> bool:
        return await self._inner.refused()


def acting_as(access: Access, user: str) -> Access:
    """The same way to the API server, as somebody else.

    Args:
        access: our own.
        user: for example ``system:serviceaccount:NAMESPACE:NAME``; the server adds a service account's groups.
    """
    return dataclasses.replace(access, authenticator=_As(access.authenticator, user))
