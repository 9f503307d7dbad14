"""The end of pod pinning in a cluster: scaled to 0, the leader takes away all that only a running pinner looks after.

A placeholder without a pinner dies by itself, but only once its Lease has run out, and its pods wait for that long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from moorage.controller.fence import Fence, NotLeading
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import Node, Pod
from moorage.ops import compat
from moorage.reservations import NodeReservation

from .commands import cleanup
from .commands.cleanup import GIVE_BACK, Leftover

logger = logging.getLogger("moorage.pinner")


async def withdraw(
    client: Client,
    fence: Fence,
    nodes: Iterable[Node],
    pods: Iterable[Pod],
    reservations: Iterable[NodeReservation],
    *,
    seconds: float,
) -> None:
    """Remove placeholders with their pins, our taints, and the reservations; what was not removed in time is said.

    Args:
        client: the API server.
        fence: lets writes through while we lead.
        nodes: of the cluster.
        pods: of the cluster.
        reservations: of the cluster.
        seconds: how long at most.
    """
    # What is under way on a drained node belongs to whoever drains it.
    found = [each for each in cleanup.select(nodes, pods, reservations) if each.action != GIVE_BACK]
    removed: Counter[str] = Counter()
    try:
        async with compat.timeout(seconds):
            for _, alike in groupby(found, key=lambda each: (each.kind, each.action)):
                await asyncio.gather(*(_remove(client, fence, each, removed) for each in alike))
    except TimeoutError:
        pass
    left = len(found) - removed.total()
    fields = {"removed": dict(removed), "left": left}
    if left:
        logger.warning("not everything was removed, moorage cleanup does the rest", extra=fields)
    else:
        logger.info("scaled to 0: nothing of ours is left in the cluster", extra=fields)


async def _remove(client: Client, fence: Fence, leftover: Leftover, removed: Counter[str]) -> None:
    try:
        await fence.write(lambda: cleanup.remove(client, leftover))
    except (errors.KubeError, NotLeading) as error:
        fields = {"kind": leftover.kind, "object": leftover.name, "error": str(error) or "we lead no more"}
        logger.warning("object not removed", extra=fields)
    else:
        removed[leftover.kind] += 1
