"""Writes to a node, reading them back, and that other programs' fields stay unchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.drain import Finding, Mark, Phase, Reason, Settings, names, patches, resting
from moorage.objects import Node
from moorage.reservations import merging

from .build import NOW, US, mark, node

OTHER = {"key": "team", "value": "a", "effect": "NoSchedule", "timeAdded": "2029-12-31T00:00:00Z"}
SOFT = {"key": "evictor.cast.ai/evicted", "value": "true", "effect": "PreferNoSchedule"}
HARD = {"key": "evictor.cast.ai/evicted", "value": "true", "effect": "NoSchedule"}

marks = st.builds(
    Mark,
    by=st.text(),
    cycle=st.text(),
    phase=st.sampled_from(Phase),
    since=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
        lambda at: at.replace(microsecond=0, tzinfo=UTC)
    ),
    tainted=st.booleans(),
    cordoned=st.booleans(),
    reason=st.text(),
)


def patched(of: Node, changes: dict[str, Any]) -> Node:
    """A node as the API server stores it after a merge patch."""
    return msgspec.convert(merging.merge_patch(msgspec.to_builtins(of), changes), Node)


@given(marks)
def test_what_was_written_is_read_again(said: Mark) -> None:
    assert names.read(node(said)) == said


@pytest.mark.parametrize(
    "text",
    [
        '{"by":"x","cycle":"c","phase":"emptied","since":"soon"}',
        '{"by":"x","cycle":"c","phase":"emptied","since":"2030-01-01T00:00:00Z","set":["label"]}',
        '{"by":"x","cycle":"c","phase":"emptied","since":"2030-01-01T00:00:00"}',
        "null",
    ],
)
def test_a_mark_that_says_what_is_not_known_is_not_believed_by_halves(text: str) -> None:
    found = node()
    meta = msgspec.structs.replace(found.metadata, annotations={names.DRAIN_ANNOTATION: text})
    with pytest.raises(names.UnreadableMark, match=names.DRAIN_ANNOTATION):
        names.read(msgspec.structs.replace(found, metadata=meta))


def test_a_life_leaves_the_node_as_it_was_but_for_the_reason() -> None:
    before = node(taints=[OTHER, HARD])
    now = NOW.replace(microsecond=0)
    chosen = patched(before, patches.chosen(before, US, "c1", now))
    said = names.read(chosen)
    assert said == Mark(US, "c1", Phase.CHOSEN, now, tainted=True)
    assert [msgspec.to_builtins(each) for each in chosen.spec.taints] == [OTHER, HARD, SOFT]
    begun = patched(chosen, patches.begun(chosen, said, now, cordon=True))
    said = names.read(begun)
    assert said == Mark(US, "c1", Phase.DRAINING, now, tainted=True, cordoned=True)
    assert begun.spec.unschedulable
    emptied = patched(begun, patches.emptied(begun, said, now))
    said = names.read(emptied)
    assert said == Mark(US, "c1", Phase.EMPTIED, now, tainted=True)
    assert (emptied.spec.unschedulable, names.soft_tainted(emptied)) == (False, True)
    back = patched(emptied, patches.given_back(emptied, said, Phase.HANDED_BACK, now, "nobody came"))
    assert names.read(back) == Mark(US, "c1", Phase.HANDED_BACK, now, reason="nobody came")
    assert back.spec == before.spec


def test_what_others_have_set_stays() -> None:
    """The same taint, set before ours, and a cordon that our mark does not record."""
    theirs = node(taints=[SOFT], unschedulable=True)
    changes = patches.chosen(theirs, US, "c1", NOW)
    assert "spec" not in changes
    chosen = patched(theirs, changes)
    said = names.read(chosen)
    assert said is not None
    assert not said.tainted
    assert "spec" not in patches.given_back(chosen, said, Phase.ROLLED_BACK, NOW, "no")


def test_an_answer_that_lacks_what_was_set_is_noticed() -> None:
    before = node()
    changes = patches.chosen(before, US, "c1", NOW)
    whole = patched(before, changes)
    assert patches.kept(whole, changes)
    bare = msgspec.structs.replace(whole, spec=before.spec)
    unmarked = msgspec.structs.replace(whole, metadata=before.metadata)
    said = mark(Phase.CHOSEN)
    cordon = patches.begun(node(said), said, NOW, cordon=True)
    loose = patched(node(said), {**cordon, "spec": {}})
    assert not any((patches.kept(bare, changes), patches.kept(unmarked, changes), patches.kept(loose, cordon)))


@pytest.mark.parametrize(
    ("said", "rests"),
    [
        (mark(Phase.ROLLED_BACK, seconds=599), True),
        (mark(Phase.ROLLED_BACK, seconds=600), False),
        (mark(Phase.HANDED_BACK, seconds=3599), True),
        (mark(Phase.HANDED_BACK, seconds=3600), False),
        (replace(mark(Phase.ROLLED_BACK, seconds=1), reason=str(Finding(Reason.TIMEOUT, "600 s"))), True),
        (replace(mark(Phase.ROLLED_BACK, seconds=1), reason=str(Finding(Reason.INTERRUPTED))), False),
        (replace(mark(Phase.ROLLED_BACK, seconds=1), reason=str(Finding(Reason.NOT_WANTED))), False),
        (replace(mark(Phase.ROLLED_BACK, seconds=1), reason=str(Finding(Reason.STOPPED, "dryRun is true"))), False),
        (mark(Phase.DRAINING), False),
        (None, False),
    ],
)
def test_what_came_to_nothing_is_left_alone_for_a_while(said: Mark | None, *, rests: bool) -> None:
    found = resting(node(said), Settings(), NOW)
    assert (found is not None and found.reason is Reason.RESTING) is rests
