"""What the mark of a drain means for a node: ours is no stranger's cordon, and has reasons of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from moorage.drain import names as marks
from moorage.drain.names import Mark, Phase
from moorage.drain.reasons import Reason
from moorage.drain.resting import resting, until
from moorage.drain.settings import Settings
from moorage.objects import Node

from . import names
from .policy import Policy
from .reasons import NodeFinding, NodeReason
from .view import View

_SETTINGS = Settings()
"""Of these only how long a node is left alone is read, which nobody may choose."""
_IN_VAIN = Reason.NOT_DELETED.sentence
_REASONS = {
    Phase.CHOSEN: NodeReason.NODE_DRAINING,
    Phase.DRAINING: NodeReason.NODE_DRAINING,
    Phase.EMPTIED: NodeReason.NODE_EMPTIED,
}

Groups = dict[tuple[str, str], str]
"""Groups of nodes, by a label and its value, each with the node that tells of it."""


def ours(node: Node, policy: Policy) -> Mark | None:
    """The mark of this installation; None when there is none, or none that can be read."""
    mark = _read(node)
    return mark if mark is not None and policy.installation in ("", mark.by) else None


def against(node: Node, policy: Policy, now: datetime) -> Iterator[NodeFinding]:
    """What a mark, whoever has set it, says against emptying a node.

    Args:
        node: any node.
        policy: says which installation we are.
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
    """The groups of which a node was emptied lately for nothing: nobody has deleted it.

    Args:
        view: what is known of the cluster.
    """
    found: Groups = {}
    for name, node in sorted(view.nodes.items()):
        group, mark = _group(node), _read(node)
        in_vain = mark is not None and mark.phase is Phase.HANDED_BACK and mark.reason.startswith(_IN_VAIN)
        if group is not None and in_vain and resting(node, _SETTINGS, view.now) is not None:
            found[group] = name
    return found


def against_group(node: Node, groups: Groups) -> Iterator[NodeFinding]:
    """What became of another node of the same group.

    Args:
        node: any node.
        groups: those that are left alone.
    """
    group = _group(node)
    other = groups.get(group, "") if group is not None else ""
    if other and group is not None and other != node.key:
        detail = f"node {other} of the same group, {group[0]}={group[1]}, was emptied, and nobody has deleted it"
        yield NodeFinding(NodeReason.NODE_RESTING, detail)


def _group(node: Node) -> tuple[str, str] | None:
    labels = node.metadata.labels
    return next(((key, labels[key]) for key in names.GROUPS if key in labels), None)


def _read(node: Node) -> Mark | None:
    """The mark of a node, whoever has set it; None also when it cannot be read."""
    try:
        return marks.read(node)
    except marks.UnreadableMark:
        return None


def over(node: Node, hand_back_after: timedelta) -> datetime | None:
    """When a mark means something else although nothing happens; None when none does by time alone.

    Args:
        node: any node.
        hand_back_after: how long an emptied node may stay.
    """
    mark = _read(node)
    if mark is None:
        return None
    if mark.phase is Phase.EMPTIED:
        return mark.since + hand_back_after
    return until(mark, _SETTINGS) if mark.phase.over else None
