"""Acting as somebody else, as ``kubectl --as`` does: the API server decides who may."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping

from .access import Access, Authenticator

_USER = "Impersonate-User"


class _As:
    """Proves who we are, and says as whom we act."""

    def __init__(self, authenticator: Authenticator, user: str) -> None:
        self._inner = authenticator
        self._user = user

    async def headers(self) -> Mapping[str, str]:
        return {**await self._inner.headers(), _USER: self._user}

    def ssl_context(self) -> ssl.SSLContext | None:
        return self._inner.ssl_context()

    async def refused(self) -> bool:
        return await self._inner.refused()


async def impersonates(access: Access) -> bool:
    """Whether we act as somebody already (``as`` in the kubeconfig): then nothing more than theirs is to be used."""
    return _USER in await access.authenticator.headers()


def acting_as(access: Access, user: str) -> Access:
    """The same way to the API server, as somebody else.

    Args:
        access: our own, which acts as nobody else.
        user: for example ``system:serviceaccount:NAMESPACE:NAME``; the server adds a service account's groups.
    """
    return dataclasses.replace(access, authenticator=_As(access.authenticator, user))
