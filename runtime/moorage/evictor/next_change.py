"""When the same objects lead to another result because time has passed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from moorage.reservations import moment

from .candidates import drain_marks, names
from .compaction import History
from .durations import duration
from .evaluation import Evaluation

_MARKS = (names.DO_NOT_DISRUPT, names.SCALE_DOWN_DISABLED)
"""Marks whose value may be a time, counted from when the object was made."""


def due(evaluation: Evaluation, history: History) -> datetime | None:
    """Return the first time at which an evaluation of the same objects may differ; None when there is none.

    Args:
        evaluation: what was found.
        history: what was remembered then.
    """
    moments = (
        *_of_nodes(evaluation),
        *_of_marks(evaluation),
        *_of_drains(evaluation),
        *_of_history(evaluation, history),
    )
    return min((each for each in moments if each > evaluation.inventory.now), default=None)


def _of_nodes(evaluation: Evaluation) -> Iterator[datetime]:
    policy, choice = evaluation.configuration.policy, evaluation.configuration.choice
    for node in evaluation.cluster.view.nodes.values():
        created = moment(node.metadata.creation_timestamp or "")
        if created is not None:
            yield from _later(created, policy.node_grace_period)
            yield from _later(created, choice.quiet_period)


def _of_marks(evaluation: Evaluation) -> Iterator[datetime]:
    view = evaluation.cluster.view
    for thing in (*view.nodes.values(), *view.pods):
        meta = thing.metadata
        for key in _MARKS:
            lasting = duration(meta.annotations[key]) if key in meta.annotations else None
            created = moment(meta.creation_timestamp or "") if lasting is not None else None
            if lasting is not None and created is not None:
                yield from _later(created, lasting)


def _of_drains(evaluation: Evaluation) -> Iterator[datetime]:
    for node in evaluation.cluster.view.nodes.values():
        yield from drain_marks.moments(node, evaluation.configuration.drains.hand_back_after)
    pause = drain_marks.pause(evaluation.cluster.view)
    if pause is not None:
        yield pause.until


def _of_history(evaluation: Evaluation, history: History) -> Iterator[datetime]:
    window = evaluation.configuration.choice.owner_window
    for times in history.times.values():
        for time in times:
            yield from _later(time, window)


def _later(moment: datetime, lasting: timedelta) -> Iterator[datetime]:
    """The end of a time span; None when no calendar has it."""
    with suppress(OverflowError):
        yield moment + lasting
