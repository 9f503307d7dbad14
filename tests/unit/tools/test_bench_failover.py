"""From the measurements to the verdict of `bench:failover`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.unit.pinner.bed.virtual import virtual
from tools.bench.common.pace import in_turns
from tools.bench.failover import figures
from tools.bench.failover.figures import Gone, Handover, Kill

KILL = Kill(0.5, 14.0, 30, filled=30, doubled=0, lost=0)
HANDOVER = Handover(0.2, 0.3, 0.8, removed=0, failed=0)
GONE = Gone([0.04] * 100, [0.012] * 100, [0.004] * 100)


def missed(kill: Kill = KILL, handover: Handover = HANDOVER, gone: Gone = GONE) -> list[str]:
    found = figures.result([KILL, kill], [HANDOVER, handover], gone)
    return [name for name, *_, state in figures.table(found) if state]


def test_the_figures() -> None:
    found = figures.result([KILL, replace(KILL, takeover_s=15.0, filled=27)], [HANDOVER], GONE)
    assert (found["median_s"], found["worst_s"], found["filled"]) == (14.5, 15.0, 0.95)
    assert (found["handover_median_s"], found["handover_worst_s"]) == (0.8, 0.8)
    assert (found["gone_first_p99_ms"], found["gone_p99_ms"], found["without_p99_ms"]) == (40, 12, 4)


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ({}, []),
        ({"kill": replace(KILL, takeover_s=17.1)}, ["takeover, worst"]),
        ({"kill": replace(KILL, filled=26)}, ["slots filled"]),
        ({"handover": replace(HANDOVER, served_s=2.1)}, ["hand-over by SIGTERM, worst"]),
        ({"handover": replace(HANDOVER, removed=1)}, ["removed by it"]),
        ({"handover": replace(HANDOVER, failed=1)}, ["calls that failed in it"]),
        ({"gone": replace(GONE, first=[9.0] * 100)}, []),
        ({"gone": replace(GONE, asked=[0.1] * 100)}, ["p99 above that with all killed, later"]),
    ],
)
def test_what_is_missed_is_marked(case: dict[str, object], line: list[str]) -> None:
    assert missed(**case) == line  # type: ignore[arg-type]


@virtual
async def test_two_ways_take_turns_and_each_is_timed_from_when_it_was_due() -> None:
    done: list[int] = []

    async def slow(number: int, turn: bool) -> None:
        await asyncio.sleep(2.5 if turn else 0)
        done.append(number)

    first, other = await in_turns(6.0, 1.0, slow)
    assert first == pytest.approx([2.5] * 4)
    assert other == pytest.approx([0, 0])
    assert done == [2, 0, 3, 1, 4, 5], "nobody waits for what was due before"
