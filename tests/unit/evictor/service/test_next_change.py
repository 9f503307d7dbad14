"""Until the returned time, the same cluster gives the same answer."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import History, Settings
from moorage.evictor.configuration import Configuration
from moorage.evictor.evaluation import Evaluation, evaluate
from moorage.evictor.next_change import due
from tests.examples import examples
from tests.unit.evictor.build import NOW, Json
from tests.unit.evictor.compaction.build import replica, replica_set, room
from tests.unit.evictor.test_evaluation import inventory

MINUTES = st.integers(-30, 90)
CONFIGURATION = Configuration(
    policy=Policy(node_grace_period=timedelta(minutes=20)),
    choice=Settings(most=None, percentage=100, utilisation=1.0, owner_window=timedelta(minutes=45)),
)


def at(minutes: int) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat()


def handed_back(name: str, age: int, why: str) -> Json:
    mark = {"by": "us", "cycle": "c", "phase": "handed-back", "since": at(age), "reason": why}
    return room(name, metadata={"creationTimestamp": at(600), "annotations": {"moorage.dev/drain": json.dumps(mark)}})


def seen(manifests: list[Json], history: History, now: datetime) -> Evaluation:
    return evaluate(inventory(*manifests, now=now), CONFIGURATION, history)


def answer(found: Evaluation) -> object:
    return found.plan, {name: verdict.findings for name, verdict in found.cluster.verdicts.items()}


@settings(max_examples=examples(100))
@given(
    nodes=st.lists(st.tuples(MINUTES, st.sampled_from(["", "true", "40m", "1h15m", "soon"])), min_size=2, max_size=4),
    pods=st.lists(st.tuples(st.integers(0, 3), MINUTES, st.sampled_from(["", "false", "35m"])), max_size=4),
    needed=st.lists(
        st.tuples(MINUTES, st.sampled_from(["the scheduler needs the node (default/p)", "why"])), max_size=4
    ),
    evictions=st.lists(MINUTES.map(abs), max_size=3),
    part=st.floats(0.0, 0.999),
)
def test_nothing_changes_before(
    nodes: list[tuple[int, str]],
    pods: list[tuple[int, int, str]],
    needed: list[tuple[int, str]],
    evictions: list[int],
    part: float,
) -> None:
    manifests: list[Json] = [replica_set()]
    for number, (age, mark) in enumerate(nodes):
        marks = {"karpenter.sh/do-not-disrupt": mark} if mark else {}
        manifests.append(room(f"n{number}", metadata={"creationTimestamp": at(age), "annotations": marks}))
    manifests += [handed_back(f"h{number}", age, why) for number, (age, why) in enumerate(needed)]
    for number, (on, age, mark) in enumerate(pods):
        marks = {"karpenter.sh/do-not-disrupt": mark} if mark else {}
        meta = {"creationTimestamp": at(age), "annotations": marks}
        manifests.append(replica(f"p{number}", f"n{on % len(nodes)}", metadata=meta))
    history = History({"uid-web-1": tuple(NOW - timedelta(minutes=each) for each in evictions)})
    first = seen(manifests, history, NOW)
    moment = due(first, history)
    until = moment or NOW + timedelta(days=365)
    assert until > NOW
    then = seen(manifests, history, NOW + part * (until - NOW))
    assert answer(then) == answer(first)


def test_what_lies_beyond_all_calendars_never_comes() -> None:
    found = seen([room("n1", metadata={"creationTimestamp": "9999-12-31T23:59:59Z"})], History(), NOW)
    assert due(found, History()) is None


def test_what_is_over_is_no_reason() -> None:
    found = seen([room("n1"), room("n2")], History(), NOW)
    assert due(found, History({"u": (NOW - timedelta(hours=1),)})) is None
    assert due(found, History({"u": (NOW - timedelta(minutes=44),)})) == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(("phase", "minutes"), [("rolled-back", 10), ("handed-back", 60), ("emptied", 15)])
def test_a_node_with_a_mark_is_looked_at_again_when_that_means_something_else(phase: str, minutes: int) -> None:
    mark = {"by": "us", "cycle": "c", "phase": phase, "since": at(4), "reason": "why"}
    marked = room("n1", metadata={"annotations": {"moorage.dev/drain": json.dumps(mark)}})
    assert due(seen([marked], History(), NOW), History()) == NOW + timedelta(minutes=minutes - 4)
