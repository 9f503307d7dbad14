"""The taint and the annotation of a node that is drained: who does it, in which cycle, and what was set for it.

The annotation says what is ours on the node, and never what is to be done: that is decided anew from the cluster,
whoever leads. So a mark that somebody has forged can lead to nothing but our taint and our cordon being taken off.
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
"""The scheduler goes elsewhere as long as there is room elsewhere."""

DRAIN_ANNOTATION = "moorage.dev/drain"

_BEYOND = 9999
"""A year to which nothing can be added: nobody has drained a node then."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
"""On the API server's copy of a static pod."""


class Phase(Enum):
    """How far a node has come."""

    CHOSEN = "chosen"
    """It has the soft taint, and its turn is to come."""
    DRAINING = "draining"
    """Its pods are evicted."""
    EMPTIED = "emptied"
    """Its pods are gone; it has the soft taint, and somebody is to delete it."""
    ROLLED_BACK = "rolled-back"
    """Nothing of ours is left on it but the reason."""
    HANDED_BACK = "handed-back"
    """It was emptied, and nobody has deleted it: nothing of ours is left on it but the reason."""

    @property
    def over(self) -> bool:
        """Whether nothing is set for it any more."""
        return self in (Phase.ROLLED_BACK, Phase.HANDED_BACK)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the annotation says.

    Attributes:
        by: the installation that drains the node.
        cycle: id of the cycle in which it was chosen.
        phase: how far it has come.
        since: when that phase began, in the API server's time.
        tainted: whether the soft taint is ours.
        cordoned: whether the cordon is ours.
        reason: the sentence about why it came to nothing; empty otherwise.
    """

    by: str
    cycle: str
    phase: Phase
    since: datetime
    tainted: bool = False
    cordoned: bool = False
    reason: str = ""


class UnreadableMark(Exception):
    """The annotation is there and cannot be read; the text says what is wrong with it."""


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
        UnreadableMark: nobody knows what was set for it.
    """
    text = node.metadata.annotations.get(DRAIN_ANNOTATION)
    if text is None:
        return None
    try:
        found = _decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: {error}") from error
    since = moment(found.since)
    if since is None or since.year >= _BEYOND:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: since: {found.since[:40]!r} is no time")
    if unknown := set(found.set) - {_TAINT, _CORDON}:
        raise UnreadableMark(f"{DRAIN_ANNOTATION}: set: {', '.join(sorted(unknown))} is not known")
    return Mark(found.by, found.cycle, found.phase, since, _TAINT in found.set, _CORDON in found.set, found.reason)


def written(mark: Mark) -> str:
    """The annotation's text."""
    what = ((_TAINT, mark.tainted), (_CORDON, mark.cordoned))
    since = mark.since.isoformat(timespec="seconds")
    found = _Written(
        mark.by, mark.cycle, mark.phase, since, tuple(name for name, is_set in what if is_set), mark.reason
    )
    return msgspec.json.encode(found).decode()


def soft_tainted(node: Node) -> bool:
    """Whether a node has the soft taint, whoever set it."""
    return any(taint.key == SOFT_TAINT.key and taint.effect == SOFT_TAINT.effect for taint in node.spec.taints)
