"""Decides what to do about one node, from its current state only, so that the decision is the same after a crash.

A drain has these phases: chosen (soft taint) → draining (cordon, evictions) → emptied (soft taint again) → deleted by
another program, or handed back. Until it is emptied, a node may be rolled back. Three rules always hold. A cordon or
taint that our mark does not list is never removed. No eviction takes a workload below its floor. An eviction is not
requested again before the pod was read.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from moorage.objects import Node
from moorage.reservations import moment
from moorage.wording import counted

from . import names
from .eviction_check import EvictionCheck
from .evictions import Evictions
from .names import Mark, Phase
from .observation import Observation, OnNode, Stance
from .reasons import Finding, Reason
from .steps import (
    Begin,
    Decision,
    Evict,
    HandBack,
    LookAtNode,
    LookAtPod,
    MarkEmptied,
    Outcome,
    RollBack,
    SoftTaint,
    Step,
    Wait,
)

_CLOCK = timedelta(seconds=2)
"""How far one of our times may be behind one of the API server's: both have whole seconds. A pod that came within this
time came with the cordon. Without a cordon it would come again and again."""
_SPOILS = frozenset(
    (
        Reason.FOREIGN_CORDON,
        Reason.UNCORDONED,
        Reason.UNTAINTED,
        Reason.NODE_NOT_READY,
        Reason.MARKED_BY_OTHERS,
        Reason.POD_HOLDS,
    )
)
"""Reasons for which a node does not count as emptied, even without pods."""


_OVER = {Phase.ROLLED_BACK: Outcome.ROLLED_BACK, Phase.HANDED_BACK: Outcome.HANDED_BACK}


def decide(o: Observation, check: EvictionCheck, evictions: Evictions) -> Decision:
    """Decide what to do about a node now.

    Args:
        o: the state of the node.
        check: what may still be evicted; each eviction is subtracted from it.
        evictions: the evictions of the term.

    Returns:
        The next steps and the state of the drain. After enough rounds there is an outcome.
    """
    if o.doubtful:
        return Decision((LookAtNode(o.name),))
    if o.node is None:
        return Decision(outcome=Outcome.GONE, why=Finding(Reason.NODE_GONE))
    try:
        mark = names.read(o.node)
    except names.UnreadableMark as error:
        return Decision(outcome=Outcome.REFUSED, why=Finding(Reason.MARK_UNREADABLE, str(error)))
    if mark is not None and not mark.phase.over and mark.by != o.by:
        return Decision(outcome=Outcome.REFUSED, why=Finding(Reason.FOREIGN_MARK, mark.by))
    if o.node.metadata.deletion_timestamp is not None:
        return _deleted(o, mark)
    if mark is None or mark.phase.over:
        return _unmarked(o, o.node, mark)
    if mark.phase is Phase.EMPTIED:
        return _emptied(o, o.node, mark)
    return _under_way(o, o.node, mark, check, evictions)


def _deleted(o: Observation, mark: Mark | None) -> Decision:
    """A node that is being deleted counts as emptied when all pods to move have left it or are terminating."""
    why, drained = Finding(Reason.NODE_DELETED), mark is not None and mark.phase is Phase.DRAINING
    if drained and not any(each.stance is not Stance.STAYS and each.lives for each in o.pods):
        return Decision(outcome=Outcome.EMPTIED, why=why)
    return Decision(outcome=Outcome.GONE, why=why)


# --- the node has nothing of ours ---


def _unmarked(o: Observation, node: Node, mark: Mark | None) -> Decision:
    if o.stop is not None:
        phase = mark.phase if mark is not None and mark.by == o.by else None
        return Decision(
            outcome=_OVER.get(phase, Outcome.REFUSED) if phase is not None else Outcome.REFUSED, why=o.stop, phase=phase
        )
    if not o.wanted:
        return Decision(outcome=Outcome.UNTOUCHED)
    against = _foreign(o, node, cordoned=False) or _held(o)
    if against is not None:
        return Decision(outcome=Outcome.REFUSED, why=against)
    return Decision((SoftTaint(node),))


def _foreign(o: Observation, node: Node, *, cordoned: bool) -> Finding | None:
    """What other programs do or have set that rules a drain out.

    Args:
        o: the state of the node.
        node: the same.
        cordoned: whether the cordon is ours.
    """
    if o.claimed:
        return Finding(Reason.MARKED_BY_OTHERS, o.claimed)
    if node.spec.unschedulable and not cordoned:
        return Finding(Reason.FOREIGN_CORDON)
    return None if node.ready else Finding(Reason.NODE_NOT_READY)


def _held(o: Observation) -> Finding | None:
    """The pod that must not be moved, or of which that is unknown."""
    if o.unread:
        return Finding(Reason.POD_HOLDS, o.unread)
    holder = next((each for each in o.pods if each.stance is Stance.HOLDS and each.lives), None)
    return Finding(Reason.POD_HOLDS, holder.why, holder.pod.key) if holder is not None else None


# --- emptied ---


def _emptied(o: Observation, node: Node, mark: Mark) -> Decision:
    until = mark.since + o.settings.hand_back_after
    users = [each.pod.key for each in o.pods if each.stance is not Stance.STAYS and each.lives]
    if mark.tainted and not names.soft_tainted(node):
        why = Finding(Reason.TAKEN_BACK)
    elif users:
        why = Finding(Reason.USED_AGAIN, pod=users[0])
    elif o.now >= until:
        minutes = (o.now - mark.since).total_seconds() / 60
        why = Finding(Reason.NOT_DELETED, counted(minutes, "minute"))
    else:
        return Decision(waits=(Wait(Finding(Reason.NOT_DELETED), until),), outcome=Outcome.EMPTIED, phase=mark.phase)
    return Decision((HandBack(node, why),), why=why, phase=mark.phase)


# --- chosen or draining ---


def _under_way(o: Observation, node: Node, mark: Mark, check: EvictionCheck, evictions: Evictions) -> Decision:
    moving = [each for each in o.pods if each.stance is Stance.MOVES and each.lives]
    leaving = [each for each in o.pods if each.leaves]
    steps, waits = _evict(o, moving, check, evictions) if mark.phase is Phase.DRAINING else ((), ())
    waits += tuple(Wait(_leaving(each)) for each in leaving)
    spoilt = _spoilt(o, node, mark)
    if mark.phase is Phase.DRAINING and not moving and not leaving and spoilt is None and not _spoils(o.stop):
        return Decision((MarkEmptied(node),), phase=mark.phase)
    why = spoilt or o.stop or _fails(o, mark, moving, waits, evictions)
    if why is not None:
        return Decision((RollBack(node, why),), why=why, phase=mark.phase)
    if mark.phase is Phase.CHOSEN:
        if o.turn is not None:
            return Decision(waits=(Wait(o.turn),), phase=mark.phase)
        return Decision((Begin(node, cordon=not o.settings.soft_only),), phase=mark.phase)
    return Decision(steps, (*waits, Wait(Finding(Reason.TIMEOUT), _deadline(o, mark))), phase=mark.phase)


def _spoils(why: Finding | None) -> bool:
    return why is not None and why.reason in _SPOILS


def _spoilt(o: Observation, node: Node, mark: Mark) -> Finding | None:
    """What prevents the drain now: another program works on the node, or a pod must not be moved."""
    if mark.cordoned and not node.spec.unschedulable:
        return Finding(Reason.UNCORDONED)
    if mark.tainted and not names.soft_tainted(node):
        return Finding(Reason.UNTAINTED)
    return _foreign(o, node, cordoned=mark.cordoned) or _held(o)


def _fails(
    o: Observation, mark: Mark, moving: list[OnNode], waits: tuple[Wait, ...], evictions: Evictions
) -> Finding | None:
    """Why a drain has failed without an outside cause."""
    if not o.wanted:
        return Finding(Reason.INTERRUPTED)
    if mark.phase is Phase.CHOSEN:
        return None
    for each in moving:
        created = moment(each.pod.metadata.creation_timestamp or "")
        if created is not None and (created > mark.since + _CLOCK or (created >= mark.since and not mark.cordoned)):
            return Finding(Reason.REFILLED, pod=each.pod.key)
    never = next((wait.why for wait in waits if wait.why.reason is Reason.SEVERAL_BUDGETS), None)
    if never is not None:
        return never
    if o.now < _deadline(o, mark):
        return None
    obstacles = (*(wait.why for wait in waits), *(evictions.trouble(each.pod) for each in moving))
    obstacle = next((f"; {why}" for why in obstacles if why is not None), "")
    return Finding(Reason.TIMEOUT, f"{o.settings.drain_timeout.total_seconds():g} s{obstacle}")


def _deadline(o: Observation, mark: Mark) -> datetime:
    return mark.since + o.settings.drain_timeout


def _leaving(each: OnNode) -> Finding:
    return Finding(Reason.LEAVING, f"until {each.pod.metadata.deletion_timestamp}", each.pod.key)


def _evict(
    o: Observation, moving: list[OnNode], check: EvictionCheck, evictions: Evictions
) -> tuple[tuple[Step, ...], tuple[Wait, ...]]:
    """The evictions that may be requested now, and why the others may not.

    They are subtracted from the floors even if the node may be rolled back. Other nodes then wait for one more round.
    """
    steps: list[Step] = [LookAtPod(pod) for pod in evictions.to_look_at(o.name)]
    waits: list[Wait] = []
    started = 0
    for each in sorted(moving, key=lambda each: each.pod.key):
        known = evictions.against(each.pod)
        if known is not None:
            why, seconds = known
            waits.append(Wait(why, o.now + timedelta(seconds=seconds)))
        elif o.hold is not None:
            waits.append(Wait(o.hold))
        elif (against := check.against(each.pod, exempt=each.exempt)) is not None:
            waits.append(Wait(against))
        elif started < o.room:
            check.take(each.pod)
            started += 1
            steps.append(Evict(each.pod))
    return tuple(steps), tuple(waits)
