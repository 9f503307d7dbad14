"""Whatever others do beside a drain: no workload is under its floor because of us, nothing of ours is left behind, and
what somebody has taken over stays theirs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.pinner.bed.virtual import run

from .bed.bed import Bed, shop
from .bed.days import APPS, NODES
from .bed.others import Beside

_node = st.integers(0, len(NODES) - 1)
_app = st.integers(0, len(APPS) - 1)
_wait = st.sampled_from((0.0, 0.004, 0.3, 1.0, 4.0, 15.0))
_people = st.one_of(
    *(st.tuples(st.just(name), _node) for name in ("untaint", "unmark", "cordon", "uncordon", "claim")),
    st.tuples(st.just("forge"), _node, st.integers(0, 3)),
)
_controllers = st.one_of(
    *(st.tuples(st.just(name), _app) for name in ("evict", "breaks", "quota")),
    st.tuples(st.just("budget"), _app, st.integers(0, 5)),
    st.tuples(st.just("scale"), _app, st.integers(0, 5)),
    *(st.tuples(st.just(name)) for name in ("crowd", "join", "leave", "kill")),
    st.tuples(st.just("lag"), st.sampled_from(("pods", "nodes")), st.sampled_from((0.5, 2.0, 6.0))),
)
_deeds = st.lists(st.tuples(_wait, st.one_of(_people, _controllers)), min_size=1, max_size=6)


async def _day(seed: int, deeds: list[tuple[float, tuple[Any, ...]]], *, patient: bool) -> None:
    async with Bed(seed=seed, drain_timeout=timedelta(minutes=3)) as bed:
        shop(bed, len(NODES))
        day = Beside(bed, await bed.begin(), ("n0", "n1", "n2"))
        for wait, deed in deeds:
            await day.do(wait, *deed)
        await day.end(patient=patient)
        wrong = [each for each in bed.wrong() if not each.startswith(tuple(day.taken))] if day.taken else bed.wrong()
        assert wrong == [], bed.writes()


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 999), _deeds, st.booleans())
def test_no_floor_is_broken_and_nothing_of_ours_is_left_whatever_others_do(
    seed: int, deeds: list[tuple[float, tuple[Any, ...]]], patient: bool
) -> None:
    run(_day(seed, deeds, patient=patient))
