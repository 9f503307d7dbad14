"""Whatever happens while nodes are drained, and whenever whoever does it is killed: no workload is under its floor
because of us, nothing is cordoned without a mark, and every drain comes to its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.pinner.bed.virtual import run

from .bed.bed import Bed, shop
from .bed.days import APPS, EFFECTS, NODES, REQUESTS, Day

_node = st.integers(0, len(NODES) - 1)
_app = st.integers(0, len(APPS) - 1)
_wait = st.sampled_from((0.0, 0.001, 0.004, 0.3, 1.0, 4.0, 15.0, 40.0))
_fault = st.tuples(
    st.just("fault"), st.sampled_from(sorted(EFFECTS)), st.integers(0, len(REQUESTS) - 1), st.integers(1, 6)
)
_kill = st.tuples(st.just("kill"))
_others = st.one_of(
    *(st.tuples(st.just(name), _node) for name in ("cordon", "uncordon", "not_ready", "ready", "claim")),
    *(st.tuples(st.just(name), _app) for name in ("breaks", "quota", "hold")),
    st.tuples(st.just("scale"), _app, st.integers(1, 5)),
    *(st.tuples(st.just(name)) for name in ("stuck", "join", "leave", "lose")),
    st.tuples(
        st.just("lag"), st.sampled_from(("pods", "nodes", "poddisruptionbudgets")), st.sampled_from((0.5, 2.0, 6.0))
    ),
)
_deeds = st.lists(st.tuples(_wait, st.one_of(_fault, _fault, _kill, _kill, _others)), min_size=1, max_size=7)


async def _day(seed: int, deeds: list[tuple[float, tuple[Any, ...]]], *, soft: bool, patient: bool) -> None:
    async with Bed(seed=seed, soft_only=soft, drain_timeout=timedelta(minutes=3)) as bed:
        shop(bed, len(NODES))
        day = Day(bed, await bed.begin(), ("n0", "n1", "n2"))
        for wait, deed in deeds:
            await day.do(wait, *deed)
        await day.end(patient=patient)
        assert bed.wrong() == [], bed.writes()


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 999), _deeds, st.booleans(), st.booleans())
def test_no_workload_is_under_its_floor_and_every_drain_comes_to_its_end(
    seed: int, deeds: list[tuple[float, tuple[Any, ...]]], soft: bool, patient: bool
) -> None:
    run(_day(seed, deeds, soft=soft, patient=patient))
