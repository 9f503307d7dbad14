"""The thread: one task at a time, and a stop request when no caller waits any more."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from moorage.evictor.compaction import History, Stopped
from moorage.evictor.cycle import compute
from moorage.evictor.worker import Worker
from tests.unit.evictor.test_evaluation import ALL, TWO, inventory


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


async def test_the_answer_is_that_of_a_look(worker: Worker) -> None:
    evaluation, counts, due = await worker.run(compute, inventory(*TWO), ALL, History())
    assert [node.name for node in evaluation.plan.chosen] == ["n1"]
    assert (counts.nodes, due) == (2, None)


async def test_the_event_loop_goes_on_and_is_let_run_more_often(worker: Worker) -> None:
    before, going = sys.getswitchinterval(), threading.Event()

    def work(*, stopped: Callable[[], bool]) -> float:
        assert going.wait(20.0)
        return sys.getswitchinterval()

    asyncio.get_running_loop().call_later(0.01, going.set)  # only a loop that turns sets it
    assert await worker.run(work) < before
    assert sys.getswitchinterval() == before


async def test_what_goes_wrong_comes_out(worker: Worker) -> None:
    def work(*, stopped: Callable[[], bool]) -> None:
        raise ZeroDivisionError("odd")

    with pytest.raises(ZeroDivisionError, match="odd"):
        await worker.run(work)


async def test_who_is_cancelled_waits_for_the_end(worker: Worker) -> None:
    began, ended = threading.Event(), threading.Event()

    def work(*, stopped: Callable[[], bool]) -> None:
        began.set()
        while not stopped():
            pass
        ended.set()
        raise Stopped

    task = asyncio.create_task(worker.run(work))
    await asyncio.to_thread(began.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_a_look_ends_when_nobody_waits() -> None:
    asked = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Stopped):
        compute(inventory(*TWO), ALL, History(), stopped=stopped)
    assert len(asked) == 4
    with pytest.raises(Stopped):
        compute(inventory(*TWO), ALL, History(), stopped=lambda: True)
