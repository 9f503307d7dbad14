"""What people say about a pod or node themselves, in annotations and labels.

Only a clear "no" leaves something unprotected that somebody has marked: ``removal-disabled: "yes"`` protects, and the
finding says that it cannot be read. Only a clear ``"true"`` makes a pod disposable.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from moorage.evictor.durations import duration
from moorage.objects import ObjectMeta
from moorage.reservations import moment

from . import names
from .reasons import Finding, NodeFinding, NodeReason, PodFinding, PodReason, R

_NO = frozenset(("false", "False", "FALSE", "0", "f", "F"))


def removal_disabled(meta: ObjectMeta) -> str:
    """What marks something as never to be removed, ``key: "value"``; empty when nothing does.

    Args:
        meta: of a pod, a controller or a node; annotations and labels count alike.
    """
    for key in names.REMOVAL_DISABLED:
        for place in (meta.annotations, meta.labels):
            if key in place and place[key] not in _NO:
                return _said(key, place[key])
    return ""


def disposable(meta: ObjectMeta) -> str:
    """The annotation that makes a pod or Job disposable; empty when none does."""
    return next((key for key in names.DISPOSABLE if meta.annotations.get(key) == "true"), "")


def pod_marks(meta: ObjectMeta, now: datetime) -> Iterator[PodFinding]:
    """What the annotations of other autoscalers hold a pod for."""
    safe = meta.annotations.get(names.SAFE_TO_EVICT)
    if safe in _NO:
        yield PodFinding(PodReason.SAFE_TO_EVICT)
    elif safe not in (None, "true"):
        yield PodFinding(PodReason.MARK_UNREADABLE, _said(names.SAFE_TO_EVICT, str(safe)))
    yield from _kept(meta, names.DO_NOT_DISRUPT, now, PodReason.DO_NOT_DISRUPT, PodReason.MARK_UNREADABLE)


def node_marks(meta: ObjectMeta, now: datetime) -> Iterator[NodeFinding]:
    """What the annotations of other autoscalers keep a node for."""
    for key in (names.DO_NOT_DISRUPT, names.SCALE_DOWN_DISABLED):
        yield from _kept(meta, key, now, NodeReason.NODE_KEPT_FOR_OTHERS, NodeReason.NODE_MARK_UNREADABLE)


def unclear(said: str) -> bool:
    """Whether what ``removal_disabled`` found is something else than a clear yes."""
    return bool(said) and not said.endswith(': "true"')


def _kept(meta: ObjectMeta, key: str, now: datetime, yes: R, odd: R) -> Iterator[Finding[R]]:
    """What an annotation means that is ``"true"`` or, as Karpenter has it, a time since the object was made."""
    value = meta.annotations.get(key)
    if value is None or value in _NO:
        return
    until = _until(meta, value)
    if value == "true" or (until is not None and now < until):
        yield Finding(yes, _said(key, value))
    elif until is None:
        yield Finding(odd, _said(key, value))


def _until(meta: ObjectMeta, text: str) -> datetime | None:
    """The end of a protection that lasts some time; None when this is no time, or when it began is not known."""
    created, time = moment(meta.creation_timestamp or ""), duration(text)
    return created + time if created is not None and time is not None else None


def _said(key: str, value: str) -> str:
    return f'{key}: "{value[:60]}"'
