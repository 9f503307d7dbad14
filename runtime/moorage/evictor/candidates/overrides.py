"""Annotations and labels by which people protect pods and nodes, or make pods disposable.

Only a clear "no" takes the protection away: ``removal-disabled: "yes"`` protects, and the finding reports that it
cannot be read. Only a clear ``"true"`` makes a pod disposable.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from moorage.evictor.durations import duration
from moorage.objects import ObjectMeta
from moorage.reservations import moment

from . import names
from .reasons import Finding, NodeFinding, NodeReason, PodFinding, PodReason, R

_NO = frozenset(("false", "False", "FALSE", "0", "f", "F"))


class Mark(NamedTuple):
    """A label or annotation as it is written."""

    key: str
    value: str

    @property
    def clear(self) -> bool:
        """Whether its value clearly means yes."""
        return self.value == "true"

    def __str__(self) -> str:
        """Return it as a manifest has it."""
        return f'{self.key}: "{self.value[:60]}"'


def removal_disabled(meta: ObjectMeta) -> Mark | None:
    """Return the mark that forbids removal, or None.

    Args:
        meta: of a pod, a controller or a node; annotations and labels count alike.
    """
    for key in names.REMOVAL_DISABLED:
        for marks in (meta.annotations, meta.labels):
            if key in marks and marks[key] not in _NO:
                return Mark(key, marks[key])
    return None


def disposable(meta: ObjectMeta) -> str:
    """Return the annotation that makes a pod or Job disposable; empty when there is none."""
    return next((key for key in names.DISPOSABLE if meta.annotations.get(key) == "true"), "")


def pod_marks(meta: ObjectMeta, now: datetime) -> Iterator[PodFinding]:
    """Yield the annotations of other autoscalers that hold a pod."""
    safe = meta.annotations.get(names.SAFE_TO_EVICT)
    if safe in _NO:
        yield PodFinding(PodReason.SAFE_TO_EVICT)
    elif safe not in (None, "true"):
        yield PodFinding(PodReason.MARK_UNREADABLE, str(Mark(names.SAFE_TO_EVICT, str(safe))))
    yield from _kept(meta, names.DO_NOT_DISRUPT, now, PodReason.DO_NOT_DISRUPT, PodReason.MARK_UNREADABLE)


def node_marks(meta: ObjectMeta, now: datetime) -> Iterator[NodeFinding]:
    """Yield the annotations of other autoscalers that keep a node."""
    for key in (names.DO_NOT_DISRUPT, names.SCALE_DOWN_DISABLED):
        yield from _kept(meta, key, now, NodeReason.NODE_KEPT_FOR_OTHERS, NodeReason.NODE_MARK_UNREADABLE)


def _kept(meta: ObjectMeta, key: str, now: datetime, yes: R, odd: R) -> Iterator[Finding[R]]:
    """Read an annotation that is ``"true"`` or, for Karpenter, a time since the object was created."""
    value = meta.annotations.get(key)
    if value is None or value in _NO:
        return
    created, time = moment(meta.creation_timestamp or ""), duration(value)
    if value == "true":
        yield Finding(yes, str(Mark(key, value)))
    elif created is None or time is None:
        yield Finding(odd, str(Mark(key, value)))
    elif now - created < time:
        yield Finding(yes, str(Mark(key, value)))
