"""A machine that has registered under another name than was promised: its providerID says so. Pure.

Its Node will never take the placeholder over. So the placeholder ends at once, and its pods go elsewhere, instead of
waiting for the deadline. Of profile ``late`` the name is the machine's own affair.
"""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import Node
from moorage.protocol import ReasonCode
from moorage.reservations import NodeReservation, Promise, moment

from ..refusal import Refusal


def refuse(name: str, promise: Promise, reservation: NodeReservation | None, nodes: Iterable[Node]) -> Refusal | None:
    """Why a machine will never join under a promised name; None when it may.

    Args:
        name: of the promised node.
        promise: what is promised.
        reservation: where that is stored; None when it is not yet.
        nodes: the Nodes with the same providerID.
    """
    if promise.late or not promise.provider_id:
        return None
    since = moment(reservation.metadata.creation_timestamp or "") if reservation is not None else None
    for node in nodes:
        meta = node.metadata
        created = moment(meta.creation_timestamp or "")
        is_new = since is not None and created is not None and created >= since
        # One of an earlier day that is not Ready may be what the instance was called before.
        if meta.name != name and meta.deletion_timestamp is None and node.has_kubelet and (is_new or node.ready):
            text = (
                f"the machine of node {name} (providerID {promise.provider_id}) has registered as node {meta.name}: "
                f"it will not join under the name {name}"
            )
            return Refusal(ReasonCode.NODE_RENAMED, text)
    return None


def promised_before(name: str, provider_id: str, other: str) -> Refusal:
    """What is said of the second promise of one instance."""
    text = f"providerID {provider_id} of node {name} is promised as node {other} already: an instance is one node"
    return Refusal(ReasonCode.DUPLICATE_NODE, text)
