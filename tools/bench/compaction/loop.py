"""Measures the lag of an event loop while another thread evaluates a seeded cluster (docs/adr/0015).

``python -m tools.bench.compaction.loop 1000``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from pathlib import Path

import uvloop

from moorage.evictor import kinds
from moorage.evictor.compaction import History
from moorage.evictor.configuration import Configuration
from moorage.evictor.cycle import compute
from moorage.evictor.inventory import Inventory
from moorage.evictor.worker import Worker
from moorage.objects import KubeObject, Namespace, ObjectMeta
from tools.bench.compaction import clusters
from tools.bench.compaction.objects import NOW

_TICK = 0.005
_RUNS = 3


def inventory(nodes: int, *, mixed: bool) -> Inventory:
    """The cluster as the caches have it."""
    made = clusters.planted(nodes - nodes % 3, 1, mixed=mixed)
    sets = {
        key: kinds.Maker(each.metadata, kinds.MakerSpec(replicas=each.spec.replicas), each.status)
        for key, each in made.workloads.pop("ReplicaSet").items()
    }
    objects: dict[str, dict[str, KubeObject]] = {kind: dict(things) for kind, things in made.workloads.items()}
    objects |= {
        "Node": {each.key: each for each in made.nodes},
        "Pod": {each.key: each for each in made.pods},
        "Namespace": {"shop": Namespace(ObjectMeta("shop"))},
        "PodDisruptionBudget": dict(made.budgets),
        "ReplicaSet": dict(sets),
    }
    return Inventory(NOW, objects)


def memory(field: str) -> int:
    """MiB of this process: VmRSS, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


async def measure(there: Inventory) -> None:
    """Evaluate the cluster several times, and print the lag of the loop for each."""
    worker, late = Worker(), list[float]()

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            late.append(1000 * (time.perf_counter() - began - _TICK))

    ticking = asyncio.create_task(tick())
    for _ in range(_RUNS):
        late.clear()
        began = time.perf_counter()
        look, _, _ = await worker.run(compute, there, Configuration(), History())
        seconds, lags = time.perf_counter() - began, sorted(late)
        median, most = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
        print(
            f"{seconds:.2f} s, {len(look.plan.chosen)} chosen; the loop was late by {median:.1f} ms (median), "
            f"{most:.1f} ms (99 %), {lags[-1]:.1f} ms at most; {memory('VmRSS')} MiB, at most {memory('VmHWM')}"
        )
        del look
    ticking.cancel()
    worker.close()


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int, nargs="?", default=1000)
    parser.add_argument("--plain", action="store_true", help="pods without constraints other than resources")
    arguments = parser.parse_args()
    there = inventory(arguments.nodes, mixed=not arguments.plain)
    gc.collect()
    gc.freeze()  # as in the evictor once its caches are complete
    print(f"{arguments.nodes} nodes, {len(there.objects['Pod'])} pods; {memory('VmRSS')} MiB before the first look")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(there))


if __name__ == "__main__":
    main()
