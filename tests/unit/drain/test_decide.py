"""One node at one moment: the next step, and why there are not more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.drain import Finding, OnNode, Outcome, Reason, Settings, Stance
from moorage.drain.answers import ACCEPTED, Meaning
from moorage.drain.decide import decide
from moorage.drain.eviction_check import EvictionCheck
from moorage.drain.evictions import Evictions
from moorage.drain.names import Mark, Phase
from moorage.drain.observation import Observation
from moorage.drain.steps import (
    Begin,
    Decision,
    Evict,
    HandBack,
    LookAtNode,
    LookAtPod,
    MarkEmptied,
    RollBack,
    SoftTaint,
)
from moorage.objects import Pod

from .build import NOW, US, Clock, answered, cluster, deployed, ledger, mark, moves, node, observed, owner, pod

WEB = owner("ReplicaSet", "web-1")
STOP = Finding(Reason.PENDING_RISES)
DRAINING, CHOSEN, EMPTIED = mark(Phase.DRAINING), mark(Phase.CHOSEN), mark(Phase.EMPTIED)
DAEMON = OnNode(pod("daemon", owner("DaemonSet", "ds")), Stance.STAYS)


def web(number: int = 0, **said: Any) -> Pod:
    return pod(f"web-{number}", WEB, **said)


def decided(o: Observation, *elsewhere: Pod, evictions: Evictions | None = None) -> Decision:
    """What is decided in a cluster where a Deployment of four has pods on this node and elsewhere."""
    pods = (*(each.pod for each in o.pods), *elsewhere)
    known = evictions or ledger()[0]
    return decide(o, EvictionCheck(cluster(*pods, workloads=deployed("web", 4)), known.flying), known)


def others(count: int = 3) -> list[Pod]:
    return [web(number + 10, on="elsewhere") for number in range(count)]


def reasons(decision: Decision) -> list[Reason]:
    return [wait.why.reason for wait in decision.waits]


# --- the ordinary way ---


def test_a_node_that_is_wanted_is_tainted_and_one_that_is_not_is_left_alone() -> None:
    assert decided(observed(node())).steps == (SoftTaint(node()),)
    assert decided(observed(node(), wanted=False)).outcome is Outcome.UNTOUCHED


def test_a_chosen_node_waits_for_its_turn_and_is_cordoned_then_or_only_tainted() -> None:
    turn = Finding(Reason.TURN)
    assert decided(observed(node(CHOSEN), turn=turn)).waits[0].why == turn
    assert decided(observed(node(CHOSEN))).steps == (Begin(node(CHOSEN), cordon=True),)
    soft = Settings(soft_only=True)
    assert decided(observed(node(CHOSEN), settings=soft)).steps == (Begin(node(CHOSEN), cordon=False),)


def test_pods_are_evicted_as_far_as_their_floors_allow() -> None:
    found = decided(observed(node(DRAINING), moves(web(0)), moves(web(1)), DAEMON), *others(2))
    assert found.steps == (Evict(web(0)),)
    assert Reason.FLOOR in reasons(found)


def test_no_more_evictions_are_begun_than_there_is_room_for() -> None:
    pods = [moves(web(number), exempt=True) for number in range(4)]
    assert len(decided(observed(node(DRAINING), *pods, room=2)).steps) == 2


def test_an_eviction_that_was_asked_for_is_not_asked_for_again_until_it_is_seen() -> None:
    evictions, clock = ledger()
    evictions.requested(web())
    for _ in range(2):
        found = decided(observed(node(DRAINING), moves(web())), *others(), evictions=evictions)
        assert found.steps == ()
        assert reasons(found)[0] is Reason.EVICTING
        evictions.answered(web(), ACCEPTED)
    clock.now += 16
    found = decided(observed(node(DRAINING), moves(web())), *others(), evictions=evictions)
    assert found.steps == (LookAtPod(web()),)
    evictions.found(web())
    clock.now += 6
    assert decided(observed(node(DRAINING), moves(web())), *others(), evictions=evictions).steps == (Evict(web()),)


def test_a_refused_eviction_waits_each_time_longer() -> None:
    evictions, clock = ledger()
    waits = []
    for _ in range(6):
        evictions.requested(web())
        evictions.answered(web(), answered(Meaning.REFUSED))
        found = decided(observed(node(DRAINING), moves(web())), *others(), evictions=evictions)
        assert found.steps == ()
        until = found.waits[0].until
        assert until is not None
        waits.append((until - NOW).total_seconds())
        clock.now += waits[-1]
    assert waits == [5, 10, 20, 40, 60, 60]


def test_the_back_off_that_a_person_wants_is_never_cut_short() -> None:
    clock = Clock()
    evictions = Evictions(Settings(eviction_back_off=timedelta(minutes=3)), clock)
    evictions.requested(web())
    evictions.answered(web(), answered(Meaning.REFUSED))
    known = evictions.against(web())
    assert known is not None
    assert known[1] == 180


def test_nothing_is_evicted_while_another_leader_may_have_evicted() -> None:
    found = decided(observed(node(DRAINING), moves(web()), hold=Finding(Reason.SETTLING)), *others())
    assert found.steps == ()
    assert reasons(found)[0] is Reason.SETTLING


def test_a_node_is_emptied_once_the_last_pod_is_gone_and_not_before() -> None:
    leaving = decided(observed(node(DRAINING), moves(web(going=True)), DAEMON))
    assert leaving.steps == ()
    assert reasons(leaving)[0] is Reason.LEAVING
    assert decided(observed(node(DRAINING), DAEMON, OnNode(web(phase="Succeeded"), Stance.STAYS))).steps == (
        MarkEmptied(node(DRAINING)),
    )
    going_daemon = OnNode(pod("daemon", owner("DaemonSet", "ds"), going=True), Stance.STAYS)
    assert decided(observed(node(DRAINING), going_daemon)).steps == (MarkEmptied(node(DRAINING)),)


# --- what comes between ---

BETWEEN: dict[str, tuple[Callable[[], Observation], Reason]] = {
    "cordoned by others": (lambda: observed(node(CHOSEN, unschedulable=True)), Reason.FOREIGN_CORDON),
    "uncordoned": (lambda: observed(node(DRAINING, unschedulable=False)), Reason.UNCORDONED),
    "untainted": (lambda: observed(node(DRAINING, taints=[])), Reason.UNTAINTED),
    "not ready": (lambda: observed(node(DRAINING, ready=False)), Reason.NODE_NOT_READY),
    "claimed": (lambda: observed(node(DRAINING), claimed="Karpenter"), Reason.MARKED_BY_OTHERS),
    "held": (lambda: observed(node(DRAINING), OnNode(web(), Stance.HOLDS, why="so")), Reason.POD_HOLDS),
    "refilled": (lambda: observed(node(DRAINING), moves(web(created=3))), Reason.REFILLED),
    "stopped": (lambda: observed(node(DRAINING), moves(web()), stop=STOP), Reason.PENDING_RISES),
    "stopped before its turn": (lambda: observed(node(CHOSEN), stop=STOP), Reason.PENDING_RISES),
    "interrupted": (lambda: observed(node(DRAINING), moves(web()), wanted=False), Reason.INTERRUPTED),
    "interrupted before its turn": (lambda: observed(node(CHOSEN), wanted=False), Reason.INTERRUPTED),
    "too late": (lambda: observed(node(mark(Phase.DRAINING, seconds=601)), moves(web())), Reason.TIMEOUT),
    "stuck": (lambda: observed(node(mark(Phase.DRAINING, seconds=601)), moves(web(going=True))), Reason.TIMEOUT),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_comes_between_rolls_a_node_back_and_says_why(what: str) -> None:
    make, reason = BETWEEN[what]
    found = decided(make(), *others())
    assert isinstance(found.steps[0], RollBack)
    assert len(found.steps) == 1
    assert found.why is not None
    assert found.why.reason is reason


def test_what_is_refused_to_the_last_is_the_reason_also_when_it_may_be_asked_again_just_now() -> None:
    evictions, clock = ledger()
    evictions.requested(web())
    evictions.answered(web(), answered(Meaning.REFUSED, "not today"))
    clock.now += 5.0
    late = observed(node(mark(Phase.DRAINING, seconds=600)), moves(web()))
    found = decided(late, *others(), evictions=evictions)
    assert str(found.why) == "the node was not emptied in time (600 s; its eviction is refused (shop/web-0: not today))"


def test_a_pod_that_came_with_the_cordon_is_evicted_like_all_others() -> None:
    assert decided(observed(node(DRAINING), moves(web(created=1))), *others()).steps == (Evict(web(created=1)),)


def test_what_is_empty_when_the_cycle_stops_counts_as_emptied_unless_it_is_spoilt() -> None:
    for said in ({"stop": STOP}, {"wanted": False}, {"stop": Finding(Reason.TIMEOUT)}):
        assert decided(observed(node(DRAINING), **said)).steps == (MarkEmptied(node(DRAINING)),)
    spoilt = decided(observed(node(DRAINING), stop=Finding(Reason.NODE_NOT_READY)))
    assert isinstance(spoilt.steps[0], RollBack)


def test_the_reason_for_being_late_names_the_obstacle() -> None:
    late = node(mark(Phase.DRAINING, seconds=601))
    found = decided(observed(late, moves(web())))
    assert "Deployment shop/web would have 0 available pods, and keeps 3" in str(found.why)


# --- nothing is begun with ---


@pytest.mark.parametrize(
    ("o", "reason"),
    [
        (observed(node(unschedulable=True)), Reason.FOREIGN_CORDON),
        (observed(node(ready=False)), Reason.NODE_NOT_READY),
        (observed(node(), claimed="Karpenter"), Reason.MARKED_BY_OTHERS),
        (observed(node(), OnNode(web(), Stance.HOLDS)), Reason.POD_HOLDS),
        (observed(node(mark(Phase.DRAINING, by="other/evictor"))), Reason.FOREIGN_MARK),
        (observed(node(), stop=STOP), Reason.PENDING_RISES),
    ],
)
def test_a_node_is_refused_and_nothing_is_set_on_it(o: Observation, reason: Reason) -> None:
    found = decided(o)
    assert (found.steps, found.outcome) == ((), Outcome.REFUSED)
    assert found.why is not None
    assert found.why.reason is reason


def test_what_is_over_may_be_begun_anew_whoever_has_left_it() -> None:
    for by in (US, "other/evictor"):
        left = node(mark(Phase.ROLLED_BACK, by=by, reason="it was late"))
        assert decided(observed(left)).steps == (SoftTaint(left),)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"by":"x"}', '{"by":"x","cycle":"c","phase":"gone","since":"y"}', "\ud800"]
)
def test_a_mark_that_cannot_be_read_is_left_alone_with_all_that_was_set(text: str) -> None:
    found = node(DRAINING)
    annotated = msgspec.structs.replace(found.metadata, annotations={"moorage.dev/drain": text})
    decision = decided(observed(msgspec.structs.replace(found, metadata=annotated)))
    assert decision.steps == ()
    assert decision.why is not None
    assert decision.why.reason is Reason.MARK_UNREADABLE


def test_what_is_doubtful_is_looked_at_before_anything_else() -> None:
    assert decided(observed(None, doubtful=True)).steps == (LookAtNode("n"),)


def test_a_node_that_is_gone_or_going_needs_nothing() -> None:
    assert decided(observed(None)).outcome is Outcome.GONE
    going = node(DRAINING)
    meta = msgspec.structs.replace(going.metadata, deletion_timestamp="2030-01-01T12:00:00Z")
    found = decided(observed(msgspec.structs.replace(going, metadata=meta), moves(web())), *others())
    assert (found.steps, found.outcome) == ((), Outcome.GONE)


@pytest.mark.parametrize(
    ("phase", "pods", "outcome"),
    [
        (DRAINING, [DAEMON], Outcome.EMPTIED),
        (DRAINING, [DAEMON, moves(web(going=True))], Outcome.EMPTIED),
        (DRAINING, [moves(web(going=True)), moves(web(1))], Outcome.GONE),
        (DRAINING, [OnNode(web(), Stance.HOLDS)], Outcome.GONE),
        (CHOSEN, [], Outcome.GONE),
        (None, [], Outcome.GONE),
    ],
)
def test_a_node_that_is_deleted_counts_as_emptied_when_all_its_pods_have_left_or_are_leaving(
    phase: Mark | None, pods: list[OnNode], outcome: Outcome
) -> None:
    going = node(phase)
    meta = msgspec.structs.replace(going.metadata, deletion_timestamp="2030-01-01T12:00:00Z")
    found = decided(observed(msgspec.structs.replace(going, metadata=meta), *pods))
    assert (found.steps, found.outcome) == ((), outcome)


# --- afterwards ---


def test_an_emptied_node_waits_to_be_deleted_and_is_handed_back_when_nobody_does() -> None:
    waiting = decided(observed(node(EMPTIED), DAEMON))
    assert (waiting.steps, waiting.outcome) == ((), Outcome.EMPTIED)
    assert waiting.waits[0].until == NOW + timedelta(minutes=15)
    late = node(mark(Phase.EMPTIED, seconds=900))
    found = decided(observed(late, DAEMON))
    assert isinstance(found.steps[0], HandBack)
    assert str(found.why) == "the node has not been deleted since it was emptied (15 minutes)"


def test_an_emptied_node_that_is_needed_again_is_handed_back_at_once() -> None:
    used = decided(observed(node(EMPTIED), moves(web())))
    assert used.why is not None
    assert (type(used.steps[0]), used.why.reason) == (HandBack, Reason.USED_AGAIN)
    taken = decided(observed(node(EMPTIED, taints=[])))
    assert taken.why is not None
    assert (type(taken.steps[0]), taken.why.reason) == (HandBack, Reason.TAKEN_BACK)
