"""Nodes that are left alone for a while: what came to nothing is not tried again at once."""

from __future__ import annotations

from datetime import datetime

from moorage.objects import Node

from . import names
from .names import Phase
from .reasons import Finding, Reason
from .settings import Settings


def resting(node: Node, settings: Settings, now: datetime) -> Finding | None:
    """Why a node is not to be chosen yet; None when nothing of an earlier drain speaks against it.

    Args:
        node: any node.
        settings: for how long.
        now: the API server's time.
    """
    try:
        mark = names.read(node)
    except names.UnreadableMark as error:
        return Finding(Reason.MARK_UNREADABLE, str(error))
    if mark is None or not mark.phase.over:
        return None
    handed_back = mark.phase is Phase.HANDED_BACK
    until = mark.since + (settings.rest_after_hand_back if handed_back else settings.rest_after_rollback)
    return Finding(Reason.RESTING, f"until {until:%H:%M:%S}: {mark.reason}") if now < until else None
