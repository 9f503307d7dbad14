"""One contender on one cluster: from the empty control plane to its figures."""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from moorage.evictor.candidates import Policy, judge
from moorage.evictor.compaction import Settings
from tools.bench.common.errors import BenchError
from tools.bench.compaction import bound
from tools.bench.compaction.clusters import Cluster
from tools.localcluster import ClusterOptions, LocalCluster
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all
from tools.localcluster.state import cluster_dir

from . import contenders
from .build import build
from .contenders import MOST, OURS
from .figures import Run
from .pinning import pinner
from .scene import Scene, watched
from .tally import percentile

_STILL = 90.0
"""A contender that has done nothing for this many seconds has finished: twice what Karpenter needs to delete a node."""
_REPORT = 15.0
_GRACE = 25.0
_PATIENT = "10m"
"""Time without a Lease after which a node counts as failed. On a busy machine kwok renews Leases late, and the node
controller would then mark pods as not ready, which the contender does not cause."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Task:
    """The parameters of a run.

    Attributes:
        contender: its name.
        profile: ``plain`` or ``mixed``.
        seeded: the cluster.
        minutes: the longest duration.
        logs: folder for logs; emptied first.
    """

    contender: str
    profile: str
    seeded: Cluster
    minutes: float
    logs: Path


async def run(task: Task, say: Say) -> Run:
    """Create the cluster, let the contender work on it, and compute its figures.

    Args:
        task: the parameters.
        say: receives the progress.

    Raises:
        BenchError: the cluster was not created, or the contender exited.
        ClusterError: the control plane was not started.
    """
    name = f"live-{os.getpid()}-{task.profile}"
    with tempfile.TemporaryDirectory(prefix="moorage-bench-") as scratch:
        options = ClusterOptions(
            scheduler_flags=_scheduler(task.contender, name, Path(scratch)),
            controller_manager_flags={"node-monitor-grace-period": _PATIENT},
        )
        with LocalCluster(name, options=options) as cluster:
            async with watched(cluster, task.seeded) as scene:
                await build(scene, say)
                return await _measured(task, scene, say)


def _scheduler(contender: str, cluster: str, folder: Path) -> dict[str, str]:
    """The flags of kube-scheduler for a contender."""
    if contender != MOST:
        return {}
    path = folder / "scheduler.yaml"
    path.write_text(contenders.scheduler_configuration(cluster_dir(cluster) / "scheduler.kubeconfig"))
    return {"config": str(path)}


async def _measured(task: Task, scene: Scene, say: Say) -> Run:
    """The figures of a contender that is started here."""
    if task.contender in OURS:
        return await _ours(task, scene, say)
    percent = contenders.threshold(task.seeded)
    say(f"descheduler: nodes with less than {percent} % of CPU and memory requested are underutilised")
    began = await _at_work(task, scene, contenders.descheduler(scene.cluster, task.logs, percent), say)
    return _figures(task, scene, began)


async def _ours(task: Task, scene: Scene, say: Say) -> Run:
    """The figures of Moorage."""
    await asyncio.to_thread(contenders.prepare, scene.cluster)
    report = await asyncio.to_thread(contenders.promised, scene.cluster, task.logs)
    promise = float(report["freed"])
    say(f"promised: {len(report['chosen'])} nodes, {promise:,.0f} of {report['total']:,.0f} {report['unit']}")
    port, how = free_ports(1)[0], OURS[task.contender]
    shown: list[str] = []
    evictor = contenders.moorage(scene.cluster, task.logs, port)
    async with pinner(scene.cluster, task.logs, how) if how else nullcontext():
        began = await _at_work(task, scene, evictor, say, lambda: shown.append(_metrics(port)))
    as_simulated, elsewhere = contenders.come(shown[0])
    return replace(
        _figures(task, scene, began), promised_cost=round(promise, 1), as_simulated=as_simulated, elsewhere=elsewhere
    )


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def _at_work(
    task: Task, scene: Scene, process: ManagedProcess, say: Say, done: Callable[[], None] = lambda: None
) -> float:
    """Let a contender work until it has finished or the time is over. Returns its start time.

    Args:
        task: the parameters.
        scene: the cluster.
        process: the contender, not started yet.
        say: receives the progress.
        done: called before it is ended.
    """
    scene.begin()
    began = time.monotonic()
    process.start()
    try:
        await _until_still(task, scene, process, began, say)
        await asyncio.to_thread(done)
    finally:
        await asyncio.to_thread(stop_all, [process], _GRACE)
    return began


async def _until_still(task: Task, scene: Scene, process: ManagedProcess, began: float, say: Say) -> None:
    """Return once nothing happens any more, or the time is over."""
    told = began
    while (now := time.monotonic()) < began + task.minutes * 60:
        if not process.running:
            raise BenchError(f"{task.contender} ended with exit code {process.exit_code}: {process.log_tail()}")
        if now > scene.changed + _STILL and not scene.tally.unbound:
            return
        if now > told + _REPORT:
            told = now
            tally = scene.tally
            say(
                f"{now - began:5.0f} s: {len(scene.gone)} nodes gone, {tally.evictions} evictions, "
                f"{tally.unbound} pods without a node, {len(tally.broken)} floors broken"
            )
        await asyncio.sleep(1)


def _figures(task: Task, scene: Scene, began: float) -> Run:
    """The final state of the cluster."""
    nodes, now = task.seeded.nodes, time.monotonic()
    prices = Settings().prices
    price = prices.of(nodes).of
    verdicts = judge(task.seeded.view(), Policy())
    with _nothing_written():
        most = bound.freeable(nodes, task.seeded.pods, verdicts, price)
    freed = sum(price[name] for name in scene.gone) - sum(prices.of(scene.bought.values()).of.values())
    return Run(
        contender=task.contender,
        profile=task.profile,
        nodes=len(nodes),
        pods=sum(scene.pods_on.values()),
        freed=len(scene.gone),
        freed_cost=round(freed, 1),
        promised_cost=None,
        bound_cost=round(most, 1),
        evictions=scene.tally.evictions,
        pods_on_freed=sum(scene.pods_on[name] for name in scene.gone),
        pending_p99_s=round(percentile(scene.tally.waits(now), 0.99), 2),
        pdb_violations=scene.tally.violations(budget=True),
        floor_violations=scene.tally.violations(budget=False),
        seconds=round(max(scene.gone.values(), default=now) - began, 1),
        utilisation=round(contenders.utilisation(nodes, task.seeded.pods, scene.gone), 3),
    )


@contextmanager
def _nothing_written() -> Iterator[None]:
    """Keeps standard output for our own lines: the solver always prints a banner there."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
