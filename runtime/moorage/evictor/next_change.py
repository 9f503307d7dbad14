"""When the same objects lead to another answer, because time has passed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from moorage.reservations import moment

from .candidates import drain_marks, names
from .compaction import History
from .durations import duration
from .evaluation import Look

_MARKS = (names.DO_NOT_DISRUPT, names.SCALE_DOWN_DISABLED)
"""Marks whose value may be a time, counted from when the object was made."""


def due(look: Look, history: History) -> datetime | None:
    """The first moment after a look at which another look at the same may find something else; None when none does.

    Args:
        look: what was found.
        history: what was remembered then.
    """
    moments = (*_of_nodes(look), *_of_marks(look), *_of_drains(look), *_of_history(look, history))
    return min((each for each in moments if each > look.inventory.now), default=None)


def _of_nodes(look: Look) -> Iterator[datetime]:
    policy, choice = look.configuration.policy, look.configuration.choice
    for node in look.cluster.view.nodes.values():
        created = moment(node.metadata.creation_timestamp or "")
        if created is not None:
            yield from _later(created, policy.node_grace_period)
            yield from _later(created, choice.quiet_period)


def _of_marks(look: Look) -> Iterator[datetime]:
    view = look.cluster.view
    for thing in (*view.nodes.values(), *view.pods):
        meta = thing.metadata
        for key in _MARKS:
            lasting = duration(meta.annotations[key]) if key in meta.annotations else None
            created = moment(meta.creation_timestamp or "") if lasting is not None else None
            if lasting is not None and created is not None:
                yield from _later(created, lasting)


def _of_drains(look: Look) -> Iterator[datetime]:
    for node in look.cluster.view.nodes.values():
        yield from drain_marks.moments(node, look.configuration.drains.hand_back_after)
    pause = drain_marks.pause(look.cluster.view)
    if pause is not None:
        yield pause.until


def _of_history(look: Look, history: History) -> Iterator[datetime]:
    window = look.configuration.choice.owner_window
    for times in history.times.values():
        for time in times:
            yield from _later(time, window)


def _later(moment: datetime, lasting: timedelta) -> Iterator[datetime]:
    """When a time is over, unless that is beyond all calendars."""
    with suppress(OverflowError):
        yield moment + lasting
