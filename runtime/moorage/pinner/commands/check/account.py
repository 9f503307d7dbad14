"""Whose rights are asked about: an account, and whether it is the one that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.kube.credentials import acting_as, impersonates
from moorage.kube.http.transport import Transport

_PREFIX = "system:serviceaccount:"


class NotActing(Exception):
    """We cannot act as the account; the text says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the API server.

    Attributes:
        user: its name there.
        is_us: whether it is who asks.
    """

    user: str
    is_us: bool

    @property
    def groups(self) -> list[str]:
        """The groups that every account of its kind is in (apiserver/pkg/authentication/serviceaccount/util.go)."""
        if not self.user.startswith(_PREFIX):
            return ["system:authenticated"]
        namespace = self.user.removeprefix(_PREFIX).partition(":")[0]
        return ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]

    @property
    def impersonation(self) -> dict[str, str]:
        """The right to act as it (apiserver/pkg/endpoints/filters/impersonation)."""
        if not self.user.startswith(_PREFIX):
            return {"verb": "impersonate", "resource": "users", "name": self.user}
        namespace, _, name = self.user.removeprefix(_PREFIX).partition(":")
        return {"verb": "impersonate", "resource": "serviceaccounts", "namespace": namespace, "name": name}


def service_account(namespace: str, name: str) -> str:
    """How the API server calls a service account."""
    return f"{_PREFIX}{namespace}:{name}"


async def find(client: Client, wanted: str) -> Account:
    """Find out who asks, and who is meant.

    Args:
        client: of whoever asks.
        wanted: the user that is meant; empty for whoever asks.
    """
    review = await client.create(resources.SELF_REVIEWS, {})
    us = review.status.user_info.username
    return Account(wanted or us, wanted in ("", us))


@asynccontextmanager
async def acting(client: Client, account: Account) -> AsyncIterator[Client]:
    """A client that acts as the account; whether it may is asked before: a refusal would alarm who reads audit logs.

    Raises:
        NotActing: we may not, or act as somebody else already.
    """
    if account.is_us:
        yield client
        return
    if await impersonates(client.transport.access):
        raise NotActing("whoever asks acts as somebody else already")
    review = await client.create(resources.SELF_ACCESS_REVIEWS, {"spec": {"resourceAttributes": account.impersonation}})
    if not review.status.allowed:
        raise NotActing("whoever asks may not act as the account")
    async with Transport(acting_as(client.transport.access, account.user), clock=client.transport.clock) as transport:
        yield Client(transport)
