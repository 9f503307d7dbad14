"""What a drain's mark on a node means: a cordon with our mark is ours, and has reasons of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from moorage.drain import names as marks
from moorage.drain.cool_down import resting, until
from moorage.drain.names import Mark, Phase
from moorage.drain.reasons import Reason
from moorage.drain.settings import Settings
from moorage.objects import Node

from . import names
from .policy import Policy
from .reasons import NodeFinding, NodeReason
from .view import View

_SETTINGS = Settings()
"""Defaults; only the time that a node is left alone is read, and no setting changes it."""
_IN_VAIN = Reason.NOT_DELETED.sentence
_NEEDED = Reason.USED_AGAIN.sentence
FIRST_PAUSE = timedelta(minutes=1)
"""How long nothing is emptied after the scheduler needed an emptied node; doubled with each further one."""
_REASONS = {
    Phase.CHOSEN: NodeReason.NODE_DRAINING,
    Phase.DRAINING: NodeReason.NODE_DRAINING,
    Phase.EMPTIED: NodeReason.NODE_EMPTIED,
}

Groups = dict[tuple[str, str], str]
"""Groups of nodes, by a label and its value, each with a node that shows it."""


def ours(node: Node, policy: Policy) -> Mark | None:
    """Return the mark of this installation; None when there is none, or when it cannot be read."""
    mark = _read(node)
    return mark if mark is not None and policy.installation in ("", mark.by) else None


def against(node: Node, policy: Policy, now: datetime) -> Iterator[NodeFinding]:
    """Return the reasons that a mark of any installation gives against emptying a node.

    Args:
        node: any node.
        policy: has the name of this installation.
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


def resting_groups(view: View) -> Groups:
    """Return the groups of which a node was emptied lately and not deleted.

    Args:
        view: what is known of the cluster.
    """
    groups: Groups = {}
    for name, node in sorted(view.nodes.items()):
        group, mark = _group(node), _read(node)
        in_vain = mark is not None and mark.phase is Phase.HANDED_BACK and mark.reason.startswith(_IN_VAIN)
        if group is not None and in_vain and resting(node, _SETTINGS, view.now) is not None:
            groups[group] = name
    return groups


def against_group(node: Node, groups: Groups) -> Iterator[NodeFinding]:
    """Return the reason that another node of the same group gives.

    Args:
        node: any node.
        groups: those that are left alone.
    """
    group = _group(node)
    other = groups.get(group, "") if group is not None else ""
    if other and group is not None and other != node.key:
        detail = f"node {other} of the same group, {group[0]}={group[1]}, was emptied, and nobody has deleted it"
        yield NodeFinding(NodeReason.NODE_RESTING, detail)


class Pause(NamedTuple):
    """A time in which no node is emptied, because emptied nodes were needed again.

    Attributes:
        until: the end.
        node: the node that was needed last.
        times: how many nodes were needed lately.
    """

    until: datetime
    node: str
    times: int


def pause(view: View) -> Pause | None:
    """Return the pause after the scheduler has put pods on emptied nodes, or None.

    The cluster is then as full as the scheduler packs it, whatever would fit: each further try moves pods for nothing.

    Args:
        view: what is known of the cluster.
    """
    handed_back = []
    for name, node in view.nodes.items():
        mark = _read(node)
        needed = mark is not None and mark.phase is Phase.HANDED_BACK and mark.reason.startswith(_NEEDED)
        if mark is not None and needed and mark.since <= view.now < until(mark, _SETTINGS):
            handed_back.append((mark.since, name))
    if not handed_back:
        return None
    last, name = max(handed_back)
    lasting = min(FIRST_PAUSE * 2 ** min(len(handed_back) - 1, 10), _SETTINGS.rest_after_hand_back)
    return Pause(last + lasting, name, len(handed_back)) if view.now < last + lasting else None


def _group(node: Node) -> tuple[str, str] | None:
    labels = node.metadata.labels
    return next(((key, labels[key]) for key in names.GROUPS if key in labels), None)


def _read(node: Node) -> Mark | None:
    """The mark of any installation; None also when it cannot be read."""
    try:
        return marks.read(node)
    except marks.UnreadableMark:
        return None


def moments(node: Node, hand_back_after: timedelta) -> Iterator[datetime]:
    """Yield the times at which a mark changes its meaning without any event.

    Args:
        node: any node.
        hand_back_after: how long an emptied node may stay.
    """
    mark = _read(node)
    if mark is None:
        return
    if mark.phase is Phase.EMPTIED:
        yield mark.since + hand_back_after
    elif mark.phase.over:
        yield mark.since  # only a person writes a time later than now
        yield until(mark, _SETTINGS)
