"""What to do about one node, from what is known of it: pure, level-triggered, and the same after any crash.

The life of a placeholder (design 5): intended → created → held, pods bound to it → a kubelet joins → Ready, adopted →
settled. Of a late node nothing is made: it is intended until a machine registers. Or it fails: pods, then Node, then
reservation are deleted. Four rules stand above all: nothing is destroyed on the word of a cache, a Node with a kubelet
is never deleted, a Node without a mark of ours is never written to, and who cannot read an intent does nothing.
"""

from __future__ import annotations

from moorage.protocol import ReasonCode

from .. import eligibility
from ..names import marked
from ..refusal import Refusal
from . import adoption, ending, joining, late, pending, pins, placeholder
from .observation import Observation, Room
from .steps import Decision, PatchNode


def decide(o: Observation, room: Room) -> Decision:
    """What to do about a node now.

    Args:
        o: what is known of it.
        room: what is left on it; it only answers, whoever does the steps takes the room.

    Returns:
        The next steps (they may be done in any order, or together), and how things stand. Doing them and deciding
        again ends with no steps left.
    """
    deleted = o.reservation is not None and o.reservation.metadata.deletion_timestamp is not None
    if o.problems and not deleted:  # deleting the object says enough by itself
        message = "the reservation cannot be read: " + "; ".join(str(problem) for problem in o.problems)
        return Decision(state="Stopped", message=message, pins=pins.states(o))
    if o.reservation is None:
        return _unclaimed(o, room)
    if o.node is None:
        return pending.decide(o)
    if o.node.has_kubelet and o.made and not marked(o.node):
        return joining.left_alone(o, o.node, room)
    # A Node that a machine brought is no placeholder, even when its status names no kubelet any more.
    if (not o.is_ours or o.late) and not (o.node.has_kubelet and o.made):
        if o.late and o.is_ours:
            return ending.end(o, Refusal(ReasonCode.NODE_FAILED, f"node {o.node_name} names no kubelet any more"))
        whose = Refusal(ReasonCode.NODE_IS_REAL if o.node.has_kubelet else ReasonCode.NODE_FOREIGN)
        return ending.end(o, eligibility.refuse_node(o.node) or whose)
    if o.node.has_kubelet:
        return joining.decide(o, o.node, room)
    return placeholder.decide(o, o.node, room)


def _unclaimed(o: Observation, room: Room) -> Decision:
    """Nothing is promised: of a Node that waits for a pod pinner all the same, our taint goes after a while.

    Nobody else would ever take it off, and the machine would run for nothing. Pods may have been pinned to a node while
    it ran.
    """
    sweeps = pins.sweep(o, room) if o.steered else ()
    if o.unclaimed is None or o.node is None:
        return Decision(sweeps)
    until = o.unclaimed.since + late.UNCLAIMED
    if o.now < until:
        return Decision(sweeps, wake=until)
    return Decision((*sweeps, PatchNode(o.node, adoption.withdraw(o.node, None))))
