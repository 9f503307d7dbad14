"""Rolls back the drain of a node by hand, while the program that drained it is stopped."""

from __future__ import annotations

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node

from . import names, patches
from .names import Mark, Phase
from .reasons import Finding, Reason

_WHY = str(Finding(Reason.STOPPED, "rolled back by a user"))


def left(node: Node) -> str:
    """What a drain has left on a node, for people; empty when there is nothing, or when that is unknown.

    Args:
        node: any node.
    """
    mark = _mark(node)
    if mark is None:
        return ""
    what = [name for name, is_set in (("taint", mark.tainted), ("cordon", mark.cordoned)) if is_set]
    who = "".join(each if each.isprintable() else "?" for each in mark.by[:120])
    return f"{' and '.join(what) or 'mark'} of evictor {who}, {mark.phase.value} at {mark.since:%Y-%m-%d %H:%M} UTC"


async def give_back(client: Client, node: Node) -> None:
    """Remove what a drain has set on a node, and keep the reason.

    Args:
        client: an account that may read and change nodes.
        node: the node. A node that was created again or changed since stays as it is.

    Raises:
        KubeError: nothing was removed. A Conflict means that the node has just changed: read it again.
    """
    now = await client.get(resources.NODES, node.metadata.name)
    meta, mark = now.metadata, _mark(now)
    if meta.uid != node.metadata.uid or mark is None:
        return
    phase = Phase.HANDED_BACK if mark.phase is Phase.EMPTIED else Phase.ROLLED_BACK
    changes = patches.given_back(now, mark, phase, client.transport.clock.now(), _WHY)
    version = meta.resource_version
    await client.patch(resources.NODES, meta.name, changes=changes, uid=meta.uid, resource_version=version)


def _mark(node: Node) -> Mark | None:
    """The mark of a drain that has left something on a node; None also when it cannot be read."""
    try:
        mark = names.read(node)
    except names.UnreadableMark:
        return None
    return mark if mark is not None and not mark.phase.over else None
