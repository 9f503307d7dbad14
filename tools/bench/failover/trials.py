"""The single trials of the benchmark."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tools.bench.common.errors import BenchError
from tools.bench.common.pace import in_turns
from tools.bench.failover.figures import Gone, Handover, Kill
from tools.bench.failover.scene import Scene, pinned, until

FIRST, LATER = 5.0, 20.0
"""Seconds after the kill of all replicas: those that may be slow, and those that may not."""
RATE = 50.0
"""Pods per second meanwhile."""
_SETTLED = 60.0


async def kill(scene: Scene, app: str, at: float, count: int, each: int) -> Kill:
    """Kill the leader in the middle of a Deployment's creation.

    Args:
        scene: the replicas.
        app: name of the Deployment.
        at: seconds after its creation.
        count: number of nodes on which its pods are expected.
        each: number of pods on each.
    """
    nodes = _names(app, count)
    await scene.expect(app, nodes, each)
    leader = await scene.leader()
    await scene.deploy(app, count * each)
    await asyncio.sleep(at)
    takeover = await scene.kill(leader)
    await _settled(scene, app, nodes, count * each)
    pods = await scene.pods(app)
    on = Counter(pod.spec.node_name for pod in pods if pinned(pod, nodes))
    alive = [pod for pod in pods if pod.status.phase not in ("Failed", "Succeeded")]
    return Kill(
        at,
        round(takeover, 2),
        count * each,
        filled=sum(min(on[node], each) for node in nodes),
        doubled=sum(max(on[node] - each, 0) for node in nodes),
        lost=max(count * each - len(alive), 0) + sum(not pod.spec.node_name for pod in alive),
    )


async def hand_over(scene: Scene, app: str, count: int, each: int) -> Handover:
    """End the leader by SIGTERM when half of the expected pods of a Deployment exist.

    Args:
        scene: the replicas.
        app: name of the Deployment.
        count: number of nodes on which its pods are expected.
        each: number of pods on each.
    """
    nodes = _names(app, count)
    await scene.expect(app, nodes, each)
    await scene.deploy(app, count * each // 2)
    await _settled(scene, app, nodes, count * each // 2)
    await scene.all_ready()
    leader, ours, failed = await scene.leader(), await scene.ours(), await scene.failed_calls()
    async with _creating(scene, app):
        held, shown, served = await scene.hand_over(leader, app)
    return Handover(
        round(held, 2),
        round(shown, 2),
        round(served, 2),
        removed=len(ours - await scene.ours()),
        failed=int(await scene.failed_calls() - failed),
    )


async def all_gone(scene: Scene, app: str, count: int, each: int) -> Gone:
    """Kill all replicas, and create pods while the webhook is still registered.

    Args:
        scene: the replicas, which are not started again.
        app: a Deployment with expected pods.
        count: number of nodes on which they are expected.
        each: number of pods on each.

    Raises:
        BenchError: the API server did not call the webhook.
    """
    await scene.expect(app, _names(app, count), each)
    await asyncio.sleep(FIRST)  # an API server sees the configuration through a watch
    scene.kill_all()
    first, _ = await in_turns(FIRST, RATE, lambda _, asked: scene.create(asked=asked))
    before = await scene.failed_calls()
    asked, without = await in_turns(LATER, RATE, lambda _, asked: scene.create(asked=asked))
    if (failed := await scene.failed_calls() - before) < len(asked):
        raise BenchError(f"the API server called the webhook for only {failed:g} of {len(asked)} pods")
    return Gone(first, asked, without)


@asynccontextmanager
async def _creating(scene: Scene, app: str) -> AsyncIterator[None]:
    """Create expected pods all the time (dry run: nothing is stored)."""

    async def create() -> None:
        while True:
            await scene.create_expected(app)
            await asyncio.sleep(1 / RATE)

    task = asyncio.create_task(create())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _names(app: str, count: int) -> list[str]:
    return [f"{app}-{number}" for number in range(count)]


async def _settled(scene: Scene, app: str, nodes: list[str], count: int) -> None:
    """Wait, with a limit, until this many pods are where they were expected."""

    async def there() -> bool | None:
        return True if sum(pinned(pod, nodes) for pod in await scene.pods(app)) >= count else None

    with suppress(BenchError):
        await until(there, "pods where they were expected", _SETTLED)
