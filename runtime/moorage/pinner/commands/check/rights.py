"""Whether an account has every right that the pinner uses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.pinner.rights import Right

from . import account as accounts
from .account import Account
from .outcome import Failed, NotLookedAt, Warned

_AT_ONCE = 8


async def rights_are_granted(client: Client, user: str, needed: Iterable[Right]) -> str:
    """Ask the API server about each right; returns what was found.

    Args:
        client: of whoever asks.
        user: who is to have them; empty for whoever asks.
        needed: the rights.

    Raises:
        Failed: some are missing without which pods are not pinned.
        Warned: only others are missing.
        NotLookedAt: we may not ask about somebody else.
    """
    account = await accounts.find(client, user)
    limit = asyncio.Semaphore(_AT_ONCE)
    rights = tuple(needed)
    try:
        lacking = await asyncio.gather(*(_lacking(client, account, right, limit) for right in rights))
    except errors.Forbidden as error:
        if not error.lacks_right:
            raise
        raise NotLookedAt(
            f"asking about {account.user} needs the right to create subjectaccessreviews.authorization.k8s.io, which "
            "whoever asks has not. Ask as the pinner itself: kubectl exec into its pod, and run moorage check there"
        ) from error
    missing = {right: verbs for right, verbs in zip(rights, lacking, strict=True) if verbs}
    if not missing:
        return f"{account.user} has all {sum(len(right.verbs) for right in rights)} rights that it uses"
    vital = any(right.vital for right in missing)
    sentence = f"{account.user} lacks rights. Install the chart with rbac.create=true, or grant what is missing" + (
        "" if vital else "; pods are pinned without"
    )
    text = "\n".join([f"{sentence}:", *(_rule(right, verbs) for right, verbs in missing.items())])
    raise (Failed if vital else Warned)(text)


async def _lacking(client: Client, account: Account, right: Right, limit: asyncio.Semaphore) -> tuple[str, ...]:
    """The verbs of a right that the account has not."""
    found = []
    for verb in right.verbs:
        async with limit:
            if not await _allowed(client, account, right, verb):
                found.append(verb)
    return tuple(found)


async def _allowed(client: Client, account: Account, right: Right, verb: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
        "namespace": right.namespace,
        "name": right.name,
    }
    spec: dict[str, Any] = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
    if account.is_us:
        review = await client.create(resources.SELF_ACCESS_REVIEWS, {"spec": spec})
    else:
        spec |= {"user": account.user, "groups": account.groups}
        review = await client.create(resources.SUBJECT_ACCESS_REVIEWS, {"spec": spec})
    return review.status.allowed


def _rule(right: Right, verbs: tuple[str, ...]) -> str:
    """The rule to add, as it stands in a role."""
    role = f"Role in {right.namespace}" if right.namespace else "ClusterRole"
    group = right.group or '""'
    only = f", resourceNames: [{right.name}]" if right.name else ""
    rule = f"{{apiGroups: [{group}], resources: [{right.resource}]{only}, verbs: [{', '.join(verbs)}]}}"
    return f"{role}: {rule}  # {right.purpose}"
