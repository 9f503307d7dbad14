"""The time after a failed drain during which a node is not chosen again."""

from __future__ import annotations

from datetime import datetime

from moorage.objects import Node

from . import names
from .names import Mark, Phase
from .reasons import Finding, Reason
from .settings import Settings

_NO_FAULT = (Reason.INTERRUPTED.sentence, Reason.STOPPED.sentence, Reason.NOT_WANTED.sentence)
"""Reasons that say nothing about the node: it may be chosen again at once."""


def resting(node: Node, settings: Settings, now: datetime) -> Finding | None:
    """Why a node must not be chosen yet; None when no earlier drain prevents that.

    Args:
        node: any node.
        settings: the length of the cool-down.
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
    """The end of a node's cool-down after a failed drain; None when the node was not the cause."""
    if mark.reason.startswith(_NO_FAULT):
        return mark.since
    handed_back = mark.phase is Phase.HANDED_BACK
    return mark.since + (settings.rest_after_hand_back if handed_back else settings.rest_after_rollback)
