"""Impersonation, as with ``kubectl --as``. The API server decides who may impersonate whom."""

from __future__ import annotations

import dataclasses
import ssl

from .access import Access, Authenticator, Headers

_USER = "Impersonate-User"


class _As:
    """Adds the headers of impersonation to another authenticator."""

    def __init__(self, authenticator: Authenticator, user: str) -> None:
        self._inner = authenticator
        self._user = user

    async def headers(self) -> Headers:
        return {**await self._inner.headers(), _USER: self._user}

    def ssl_context(self) -> ssl.SSLContext | None:
        return self._inner.ssl_context()

    async def refused(self) -> bool:
        return await self._inner.refused()


async def impersonates(access: Access) -> bool:
    """Whether we impersonate somebody already (``as`` in the kubeconfig). Then only that user's rights may be used."""
    return _USER in await access.authenticator.headers()


def acting_as(access: Access, user: str) -> Access:
    """The same access as another user.

    Args:
        access: our own access, without impersonation.
        user: for example ``system:serviceaccount:NAMESPACE:NAME``. The server adds the groups of a service account.
    """
    return dataclasses.replace(access, authenticator=_As(access.authenticator, user))
