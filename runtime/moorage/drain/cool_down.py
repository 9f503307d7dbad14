"""Nodes that are left alone for a while: what came to nothing is not tried again at once."""

from __future__ import annotations

from datetime import datetime

from moorage.objects import Node

from . import names
from .names import Mark, Phase
from .reasons import Finding, Reason
from .settings import Settings

_NO_FAULT = (Reason.INTERRUPTED.sentence, Reason.STOPPED.sentence, Reason.NOT_WANTED.sentence)
"""What says nothing about the node: it may be chosen again at once."""


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
    end = until(mark, settings)
    return Finding(Reason.RESTING, f"until {end:%H:%M:%S}: {mark.reason}") if now < end else None


def until(mark: Mark, settings: Settings) -> datetime:
    """Until when a node is left alone of which a drain has come to nothing, unless that was no fault of the node's."""
    if mark.reason.startswith(_NO_FAULT):
        return mark.since
    handed_back = mark.phase is Phase.HANDED_BACK
    return mark.since + (settings.rest_after_hand_back if handed_back else settings.rest_after_rollback)
