"""Cycles in virtual time: one after the other, only for a reason, and never the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.evictor.compaction import History, Settings, never
from moorage.evictor.configuration import Configuration
from moorage.evictor.configuration_watch import CurrentConfiguration
from moorage.evictor.cycle import Computed, CycleLoop, compute
from moorage.evictor.evaluation import Evaluation
from moorage.evictor.inventory import Inventory
from moorage.evictor.status import StatusUpdate
from moorage.evictor.verdict_counts import VerdictCounts
from tests.examples import examples
from tests.unit.evictor.build import NOW, Json
from tests.unit.evictor.compaction.build import room
from tests.unit.evictor.test_evaluation import inventory
from tests.unit.pinner.bed.virtual import START, run, virtual

from .held import in_force

QUICK = Configuration(choice=Settings(quiet_period=timedelta(0)))
MINUTE, HOUR = 60.0, 3600.0


class World:
    """A cluster, a configuration, and the results of cycles."""

    def __init__(self) -> None:
        self.manifests: tuple[Json, ...] = (room("n1"),)
        self.hidden: dict[str, str] = {}
        self.found = in_force(QUICK)
        self.history: History | None = History()
        self.error: Exception | None = None
        self.takes = 0.0
        self.starts: list[float] = []
        self.looked: list[tuple[Evaluation, VerdictCounts]] = []
        self.failures: list[str] = []
        self.results: list[str] = []
        self.said: list[StatusUpdate] = []
        self.answer: Computed | None = None
        self._busy = False

    @staticmethod
    def time() -> float:
        return asyncio.get_running_loop().time() - START

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.time())

    def unseen(self) -> Mapping[str, str]:
        return dict(self.hidden)

    def inventory(self, now: datetime) -> Inventory:
        return inventory(*self.manifests, now=now, without=tuple(self.hidden))

    def current(self) -> CurrentConfiguration:
        return self.found

    async def looks(self, there: Inventory, configuration: Configuration, history: History) -> Computed:
        assert not self._busy, "two at once"
        self._busy = True
        self.starts.append(self.time())
        try:
            await asyncio.sleep(self.takes)
            if self.error is not None:
                raise self.error
            return self.answer or compute(there, configuration, history, stopped=never)
        finally:
            self._busy = False

    def configured(self, found: CurrentConfiguration) -> None:
        pass

    def looked_at(self, evaluation: Evaluation, counts: VerdictCounts, seconds: float) -> None:
        assert seconds == self.takes
        self.looked.append((evaluation, counts))

    def idle(self, result: str) -> None:
        self.results.append(result)

    def failed(self, error: Exception, _seconds: float) -> None:
        self.failures.append(str(error))

    def remember(self, _configuration: Configuration) -> History | None:
        return self.history

    def say(self, said: StatusUpdate) -> None:
        self.said.append(said)

    def condition(self, kind: str) -> tuple[bool | None, str]:
        """What the last status says."""
        (found,) = [each for each in self.said[-1].conditions if each.type == kind]
        return found.holds, found.reason


class _Told:
    def __init__(self, world: World) -> None:
        self.configured, self.idle, self.failed = world.configured, world.idle, world.failed
        self.looked = world.looked_at


@asynccontextmanager
async def cycling(world: World) -> AsyncIterator[Callable[[], None]]:
    """Run, and return the callback for changes."""
    async with running(world) as cycles:
        yield cycles.changed.set


@asynccontextmanager
async def running(world: World) -> AsyncIterator[CycleLoop]:
    cycles = CycleLoop(world, world, world.looks, _Told(world), world, now=world.now, interval=MINUTE)
    task = asyncio.create_task(cycles.run())
    try:
        yield cycles
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@virtual
async def test_nothing_is_looked_at_again_that_has_not_changed() -> None:
    world = World()
    async with cycling(world) as change:
        await asyncio.sleep(HOUR)
        assert world.starts == [0.0]
        change()
        await asyncio.sleep(HOUR)
        assert world.starts == [0.0, HOUR]


@virtual
async def test_there_is_one_cycle_for_all_changes_within_an_interval() -> None:
    world = World()
    async with cycling(world) as change:
        for _ in range(170):
            change()
            await asyncio.sleep(1.0)
    assert world.starts == [0.0, 60.0, 120.0]


@virtual
async def test_what_people_configure_counts_at_once_but_not_more_often_than_every_second() -> None:
    world = World()
    async with running(world) as cycles:
        await asyncio.sleep(5)
        for _ in range(40):
            cycles.changed.set()
            cycles.configured.set()
            await asyncio.sleep(0.1)
        await asyncio.sleep(HOUR)
        assert world.starts[:2] == [0.0, 5.0]
        assert len(world.starts) == 6
        assert all(later - earlier >= 0.999 for earlier, later in pairwise(world.starts))
        world.error = ValueError("odd")
        cycles.changed.set()
        await asyncio.sleep(HOUR)
        world.error, before = None, len(world.starts)
        cycles.configured.set()
        await asyncio.sleep(2)
        assert len(world.starts) == before + 1, "not only when the pause after a failure has passed"


@virtual
async def test_a_change_during_a_look_is_looked_at_afterwards() -> None:
    world = World()
    world.takes = 150.0
    async with cycling(world) as change:
        await asyncio.sleep(10.0)
        change()
        await asyncio.sleep(HOUR)
    assert world.starts == [0.0, 150.0]


@virtual
async def test_time_alone_is_a_reason_when_it_makes_another_answer() -> None:
    world = World()
    choice = replace(QUICK.choice, quiet_period=timedelta(minutes=10))
    world.found = in_force(replace(QUICK, choice=choice))
    created = (NOW - timedelta(minutes=2, seconds=30)).isoformat()
    world.manifests = (room("n1"), room("n2", metadata={"creationTimestamp": created}))
    async with cycling(world):
        await asyncio.sleep(HOUR)
    assert world.starts == [0.0, 150.0, 450.0]  # five minutes old, then ten
    assert [len(evaluation.plan.chosen) for evaluation, _ in world.looked] == [0, 0, 2]


@virtual
async def test_evictions_that_are_forgotten_are_a_reason() -> None:
    world = World()
    world.history = History({"uid-web": (NOW - timedelta(minutes=20),)})
    async with cycling(world):
        await asyncio.sleep(2 * HOUR)
    assert world.starts == [0.0, 2400.0]


@virtual
async def test_a_kind_that_comes_into_sight_is_a_reason_though_there_is_none_of_it() -> None:
    world = World()
    world.hidden = {"Job": "may not list jobs"}
    async with cycling(world):
        await asyncio.sleep(10 * MINUTE)
        assert len(world.starts) == 1
        assert world.condition("Computed") == (True, "PartlySeen")
        world.hidden = {}
        await asyncio.sleep(2 * MINUTE)
        assert len(world.starts) == 2
        assert world.condition("Computed") == (True, "Computed")


@virtual
async def test_a_cycle_that_fails_is_not_the_last_one() -> None:
    world = World()
    world.error = ZeroDivisionError("odd")
    async with cycling(world):
        await asyncio.sleep(2 * HOUR)
        assert set(world.failures) == {"odd"}
        assert world.condition("Computed") == (False, "Failed")
        pauses = [after - before for before, after in zip(world.starts, world.starts[1:], strict=False)]
        assert min(pauses) > MINUTE - 1e-6
        assert max(pauses) > 5 * MINUTE  # it is asked less and less often
        tries, world.error = len(world.starts), None
        await asyncio.sleep(HOUR)
        assert len(world.starts) == tries + 1
        assert world.condition("Computed") == (True, "Computed")


@virtual
async def test_a_configuration_that_cannot_even_be_judged_does_not_end_it() -> None:
    world = World()
    world.current = _raise  # type: ignore[method-assign]
    async with cycling(world):
        await asyncio.sleep(HOUR)
        assert len(world.failures) > 2
        world.current = lambda: world.found  # type: ignore[method-assign]
        await asyncio.sleep(HOUR)
    assert len(world.starts) == 1


def _raise() -> CurrentConfiguration:
    raise RecursionError("too deep")


@virtual
async def test_nothing_is_looked_at_without_a_configuration_or_while_it_is_switched_off() -> None:
    world = World()
    world.found = in_force(None)
    async with cycling(world) as change:
        await asyncio.sleep(MINUTE)
        assert world.condition("Ready") == (False, "NoConfiguration")
        world.found = in_force(replace(QUICK, enabled=False), 2)
        change()
        await asyncio.sleep(2 * MINUTE)
        assert world.condition("Ready") == (False, "Disabled")
        assert world.starts == []
        world.found = in_force(QUICK, 3)  # nobody tells: a right may have been granted
        await asyncio.sleep(2 * MINUTE)
        assert world.condition("Ready") == (True, "InForce")
    assert world.results == ["unconfigured", "disabled"]
    assert len(world.starts) == 1


@virtual
async def test_nothing_is_looked_at_while_the_evictions_of_late_are_not_known() -> None:
    world = World()
    world.history = None
    async with cycling(world) as change:
        await asyncio.sleep(MINUTE)
        assert world.starts == []
        world.history = History()
        change()
        await asyncio.sleep(2 * MINUTE)
    assert len(world.starts) == 1


@virtual
async def test_the_interval_is_that_of_the_configuration() -> None:
    world = World()
    world.found = in_force(replace(QUICK, interval=timedelta(minutes=10)))
    async with cycling(world) as change:
        for _ in range(25):
            change()
            await asyncio.sleep(MINUTE)
    assert world.starts == [0.0, 600.0, 1200.0]


ANSWER = compute(inventory(room("n1")), QUICK, History(), stopped=never)


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.floats(0.1, 200.0), st.sampled_from(["change", "slow", "quick", "fail", "work"]))))
def test_whatever_happens_cycles_keep_their_distance_and_no_change_is_forgotten(days: list[tuple[float, str]]) -> None:
    world, changes = World(), list[float]()
    world.answer = ANSWER  # to find one takes longer than all the rest

    async def live() -> None:
        async with cycling(world) as change:
            for pause, what in days:
                await asyncio.sleep(pause)
                world.takes = {"slow": 90.0, "quick": 0.0}.get(what, world.takes)
                world.error = {"fail": ValueError("odd"), "work": None}.get(what, world.error)
                if what == "change":
                    changes.append(world.time())
                    change()
            world.error = None
            await asyncio.sleep(HOUR)

    run(live())
    gaps = [after - before for before, after in zip(world.starts, world.starts[1:], strict=False)]
    assert all(gap > MINUTE - 1e-6 for gap in gaps)
    assert all(any(start >= changed for start in world.starts) for changed in changes)
    assert len(world.starts) <= len(changes) + len(world.failures) + 1
