"""The soft taint and the annotation of a drained node.

The annotation says which installation drains the node, in which cycle, and what is ours on it. It does not say what is
to be done. Each leader decides that again from the state of the cluster. So a forged annotation can only make us remove
our own taint and cordon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from moorage.objects import Node, Taint
from moorage.reservations import moment
from moorage.scheduling import removal_marks

SOFT_TAINT = Taint(key=removal_marks.EVICTED, value="true", effect="PreferNoSchedule")
"""The scheduler prefers other nodes while they have room."""

DRAIN_ANNOTATION = "moorage.dev/drain"

_BEYOND = 9999
"""The last year to which time can be added. No node was drained then."""


class Phase(Enum):
    """The phases of a drain."""

    CHOSEN = "chosen"
    """The node has the soft taint and waits for its turn."""
    DRAINING = "draining"
    """Its pods are being evicted."""
    EMPTIED = "emptied"
    """Its pods are gone. It has the soft taint, and another program is expected to delete it."""
    ROLLED_BACK = "rolled-back"
    """The drain has failed. Only the reason is left on the node."""
    HANDED_BACK = "handed-back"
    """The node was emptied and not deleted. Only the reason is left on it."""

    @property
    def over(self) -> bool:
        """Whether nothing of ours is set on the node any more."""
        return self in (Phase.ROLLED_BACK, Phase.HANDED_BACK)


@dataclass(frozen=True, slots=True)
class Mark:
    """The content of the annotation.

    Attributes:
        by: the id of the installation that drains the node.
        cycle: the id of the cycle in which the node was chosen.
        phase: the phase of the drain.
        since: start of the phase, by the API server's time.
        tainted: whether the soft taint is ours.
        cordoned: whether the cordon is ours.
        reason: why the drain has failed; else empty.
    """

    by: str
    cycle: str
    phase: Phase
    since: datetime
    tainted: bool = False
    cordoned: bool = False
    reason: str = ""


class UnreadableMark(Exception):
    """The annotation exists and cannot be read. The text gives the reason."""


class _Written(msgspec.Struct, frozen=True, omit_defaults=True):
    by: str
    cycle: str
    phase: Phase
    since: str
    set: tuple[str, ...] = ()
    reason: str = ""


_decode = msgspec.json.Decoder(_Written).decode
_TAINT, _CORDON = "taint", "cordon"


def read(node: Node) -> Mark | None:
    """The mark of a node; None when it has none.

    Raises:
        UnreadableMark: the annotation cannot be read.
    """
    text = node.metadata.annotations.get(DRAIN_ANNOTATION)
    if text is None:
        return None
    try:
        written = _decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: {error}") from error
    since = moment(written.since)
    if since is None or since.year >= _BEYOND:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: since: {written.since[:40]!r} is not a time")
    if unknown := set(written.set) - {_TAINT, _CORDON}:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: set: {', '.join(sorted(unknown))} is unknown")
    return Mark(
        written.by, written.cycle, written.phase, since, _TAINT in written.set, _CORDON in written.set, written.reason
    )


def written(mark: Mark) -> str:
    """The text of the annotation."""
    what = ((_TAINT, mark.tainted), (_CORDON, mark.cordoned))
    since = mark.since.isoformat(timespec="seconds")
    written = _Written(
        mark.by, mark.cycle, mark.phase, since, tuple(name for name, is_set in what if is_set), mark.reason
    )
    return msgspec.json.encode(written).decode()


def soft_tainted(node: Node) -> bool:
    """Whether a node has the soft taint, no matter who set it."""
    return any(taint.key == SOFT_TAINT.key and taint.effect == SOFT_TAINT.effect for taint in node.spec.taints)
