"""When the controller processes a node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from moorage.controller.fence import NotLeading
from moorage.controller.queue import KeyQueue
from moorage.pinner.node.controller import NodeController
from moorage.pinner.options import Options


class Acceptance:
    """Notes which nodes are looked at, and ends each look there."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def accept(self, name: str) -> bool:
        self.taken.append(name)
        raise NotLeading


async def test_nodes_are_not_looked_at_before_something_could_be_done_about_them() -> None:
    acceptance, queue, free = Acceptance(), KeyQueue(base=60, cap=60), asyncio.Event()
    others: Any = SimpleNamespace()
    executor: Any = SimpleNamespace(ready=free.wait)
    accepting = cast("Any", acceptance)
    loop = NodeController(others, executor, others, accepting, others, queue, others, others, others, others, Options())
    task = asyncio.create_task(loop.run())
    for name in "abc":
        queue.add(name)
    for _ in range(10):
        await asyncio.sleep(0)
    assert acceptance.taken == []
    free.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert acceptance.taken == ["a", "b", "c"], "in the order in which they came"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    queue.close()
