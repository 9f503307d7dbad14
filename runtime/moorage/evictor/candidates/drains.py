"""What the mark of a drain means for a node: ours is no stranger's cordon, and has reasons of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from moorage.drain import names as marks
from moorage.drain.names import Mark, Phase
from moorage.drain.resting import resting, until
from moorage.drain.settings import Settings
from moorage.objects import Node

from .policy import Policy
from .reasons import NodeFinding, NodeReason

_SETTINGS = Settings()
"""Of these only how long a node is left alone is read, which nobody may choose."""
_REASONS = {
    Phase.CHOSEN: NodeReason.NODE_DRAINING,
    Phase.DRAINING: NodeReason.NODE_DRAINING,
    Phase.EMPTIED: NodeReason.NODE_EMPTIED,
}


def ours(node: Node, policy: Policy) -> Mark | None:
    """The mark of this installation; None when there is none, or none that can be read."""
    try:
        mark = marks.read(node)
    except marks.UnreadableMark:
        return None
    return mark if mark is not None and policy.installation in ("", mark.by) else None


def against(node: Node, policy: Policy, now: datetime) -> Iterator[NodeFinding]:
    """What a mark, whoever has set it, says against emptying a node.

    Args:
        node: any node.
        policy: says which installation we are.
        now: the API server's time.
    """
    try:
        mark = marks.read(node)
    except marks.UnreadableMark as error:
        yield NodeFinding(NodeReason.NODE_MARKED, f"annotation {error}")
        return
    if mark is None:
        return
    if mark.phase.over:
        why = resting(node, _SETTINGS, now)
        if why is not None:
            yield NodeFinding(NodeReason.NODE_RESTING, why.detail)
    elif policy.installation in ("", mark.by):
        yield NodeFinding(_REASONS[mark.phase], f"since {mark.since:%H:%M:%S}")
    else:
        yield NodeFinding(NodeReason.NODE_MARKED, f"annotation {marks.DRAIN_ANNOTATION} of {mark.by[:120]}")


def over(node: Node, hand_back_after: timedelta) -> datetime | None:
    """When a mark means something else although nothing happens; None when none does by time alone.

    Args:
        node: any node.
        hand_back_after: how long an emptied node may stay.
    """
    try:
        mark = marks.read(node)
    except marks.UnreadableMark:
        return None
    if mark is None:
        return None
    if mark.phase is Phase.EMPTIED:
        return mark.since + hand_back_after
    return until(mark, _SETTINGS) if mark.phase.over else None
