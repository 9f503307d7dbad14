"""Whether the planner serves a pinner like ours: connected to as the pinner connects, and left at its welcome.

Our Hello is marked as a probe: the planner counts no pinner and sends no instruction.
"""

from __future__ import annotations

import asyncio
import contextlib

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops.version import version
from moorage.pinner.stream.connection import Connection, StreamBroken
from moorage.pinner.stream.credentials import Credentials, Lacking
from moorage.pinner.stream.credentials import read as read_credentials
from moorage.protocol import Hello, ProtocolError, Welcome
from moorage.wording import followed

from . import diagnosis
from .diagnosis import Way
from .outcome import Failed

REPLICA = "moorage-check"
UNKNOWN_CLUSTER = "unknown"
_GRPCS_OWN = "Internal error from Core"
"""What grpc.aio makes of a refusal that overtakes our Hello (``set_internal_error`` in aio/_call.py): it hides the
server's own words, which are heard by whoever says nothing."""


async def cluster_id(client: Client) -> str:
    """The name under which the planner knows the cluster, as far as whoever asks may know it."""
    try:
        return (await client.get(resources.NAMESPACES, "kube-system")).metadata.uid
    except errors.KubeError:
        return UNKNOWN_CLUSTER


async def planner_welcomes(way: Way, cluster: str) -> str:
    """The planner welcomes us; returns what was found.

    Args:
        way: to the planner.
        cluster: the name under which it knows the cluster.

    Raises:
        Failed: it does not.
    """
    endpoint = way.endpoint
    if endpoint.speaks_another_protocol:
        raise Failed(
            f"{endpoint.address} is an address of the closed product, which speaks another protocol: neither is a "
            "connection made nor the key sent. Set the address of a moorage planner (planner.address)",
            patience=0.0,
        )
    try:
        shown = read_credentials(endpoint)
    except Lacking as lacking:
        raise Failed(await diagnosis.lacking(way, str(lacking))) from lacking
    try:
        welcome = await _greet(way, shown, Hello(cluster, REPLICA, version(), probe=True))
    except StreamBroken as broken:
        raise Failed(await diagnosis.broken(way, shown, broken)) from broken
    except ProtocolError as error:
        reason = f"{endpoint.address} sent what no planner sends: {error}"
        raise Failed(followed(reason, "Look at what serves there")) from error
    key = "took the key" if shown.key is not None else "asked for no key"
    return f"the planner at {endpoint.address} {key} and serves plan {welcome.plan!r}"


async def _greet(way: Way, shown: Credentials, hello: Hello) -> Welcome:
    """Say Hello and hear the Welcome.

    Raises:
        StreamBroken: there is none.
        ProtocolError: it cannot be read.
    """
    try:
        return await _welcome(way, shown, hello)
    except StreamBroken as broken:
        if _GRPCS_OWN not in str(broken):
            raise
    return await _welcome(way, shown, None)


async def _welcome(way: Way, shown: Credentials, hello: Hello | None) -> Welcome:
    connection = Connection(way.endpoint, shown)
    said = asyncio.create_task(connection.write(hello)) if hello is not None else None
    try:
        message = await connection.read(way.timeout)
    finally:
        if said is not None:
            said.cancel()
            with contextlib.suppress(StreamBroken, asyncio.CancelledError):  # reading has said why
                await said
        await connection.close()
    if not isinstance(message, Welcome):
        raise StreamBroken(diagnosis.NO_WELCOME, "it did not begin with a Welcome")
    return message
