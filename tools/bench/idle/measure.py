"""Measures one size: builds the cluster, and watches the programs while nothing happens."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tools.auditlog import Mark
from tools.bench.common.errors import BenchError
from tools.bench.common.usage import Usage, Window, usage
from tools.localcluster import ClusterHandle, LocalCluster

from . import figures, kubelet, requests, scene
from .figures import Json, Server, Use
from .programs import Program, Programs

_SAMPLE = 5.0
"""Seconds between two readings of memory."""
_TOLD = 60.0
_QUIET = 20.0
"""Seconds without a write of ours after which the programs have settled."""
_CYCLES = 100.0
"""Seconds after the start during which programs still work: the evictor's second cycle sees what has started."""
_PATIENCE = 300.0
_API_SERVER, _ETCD = "kube-apiserver", "etcd"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is measured.

    Attributes:
        nodes: number of nodes.
        pods_each: pods on each node.
        seconds: length of the measurement.
        baseline: length of the measurement without our processes, in seconds.
    """

    nodes: int
    pods_each: int
    seconds: float
    baseline: float


async def measure(size: Size, logs: Path, progress: Progress) -> Json:
    """Measure a size on a control plane of its own.

    Args:
        size: what is measured.
        logs: folder of the programs' logs.
        progress: receives a line per step.

    Returns:
        Its figures, see `figures.size`.

    Raises:
        BenchError: a program ended, or something did not happen in time.
        ClusterError: the control plane does not run.
    """
    cluster = LocalCluster()
    try:
        await asyncio.to_thread(cluster.start)
        names = await asyncio.to_thread(scene.fill, cluster, size.nodes, size.pods_each, progress)
        await asyncio.to_thread(scene.install, cluster, progress)
        beats = kubelet.Heartbeats(cluster, names)
        await asyncio.to_thread(beats.fill)
        async with _beside(beats.run()):
            return await _watched(cluster, size, logs, progress)
    finally:
        cluster.stop()


async def _watched(cluster: ClusterHandle, size: Size, logs: Path, progress: Progress) -> Json:
    control = {name: cluster.component_pid(name) for name in (_API_SERVER, _ETCD)}
    await asyncio.sleep(min(_QUIET, size.baseline))  # for caches and controllers of Kubernetes
    progress(f"baseline: {size.baseline / 60:g} minutes without our processes")
    before = await _Watch(control, {}, size.baseline).run(lambda text: progress(f"baseline, {text}"))
    with tempfile.TemporaryDirectory(prefix="moorage-bench-idle-") as folder:
        programs = Programs(cluster, Path(folder), logs)
        try:
            await asyncio.to_thread(programs.start)
            async with _visited(programs):
                progress("programs started")
                titles = await _settled(cluster, programs)
                progress(f"settled; {size.seconds / 60:g} minutes with our processes")
                mark = Mark.now(cluster.audit_log)
                watch = _Watch(control, titles, size.seconds)
                after = await watch.run(progress)
                changed = await asyncio.to_thread(programs.titles) != titles
                if changed:
                    progress("another pinner leads than at the beginning, so the figures of both are mixed")
                asked = requests.by_pod(mark.lines(), (each.pod for each in titles.values()))
        finally:
            await asyncio.to_thread(programs.stop)
    uses = {name: watch.use(name, asked[each.pod]) for name, each in titles.items()}
    server = Server(before[_API_SERVER], after[_API_SERVER], before[_ETCD], after[_ETCD])
    found = figures.size(size.nodes, size.nodes * size.pods_each, uses, server, watch.others)
    return found | {"leader_changed": changed}


class _Watch:
    """A time in which processes are watched.

    Args:
        control: pids of the control plane by name.
        programs: ours, by title.
        seconds: its length.
    """

    def __init__(self, control: Mapping[str, int], programs: Mapping[str, Program], seconds: float) -> None:
        self._control, self._programs = control, programs
        self._seconds = seconds
        self._last: dict[str, Usage] = {}
        self._highest: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self.others = 0.0

    async def run(self, progress: Progress) -> dict[str, float]:
        """Wait for its end. Returns the milli-cores of the control plane by name."""
        window = Window({**self._control, **{name: each.pid for name, each in self._programs.items()}})
        began, told = time.monotonic(), 0.0
        while (passed := time.monotonic() - began) < self._seconds:
            await asyncio.sleep(min(_SAMPLE, self._seconds - passed))
            self._sample()
            passed = time.monotonic() - began
            if passed - told >= _TOLD and passed < self._seconds:
                told = passed
                progress(f"{passed / 60:.0f} of {self._seconds / 60:g} minutes: {self._state(window, passed)}")
        self._spent, self._seconds = window.cpu(), time.monotonic() - began
        self._sample()
        self.others = self._spent["others"]
        return {name: figures.milli(self._spent[name], self._seconds) for name in self._control}

    def use(self, name: str, asked: requests.Requests) -> Use:
        """The use of one of our programs."""
        last = self._last[name]
        return Use(self._seconds, self._spent[name], self._highest[name], last.rss_mib, last.peak_mib, asked)

    def _sample(self) -> None:
        for name, each in self._programs.items():
            self._last[name] = now = usage(each.pid)
            self._highest[name] = max(self._highest.get(name, 0.0), now.rss_mib)

    def _state(self, window: Window, passed: float) -> str:
        spent = window.cpu()
        shown = [f"API server {figures.milli(spent[_API_SERVER], passed):.0f} m"]
        shown += [
            f"{name} {figures.milli(spent[name], passed):.1f} m, {self._last[name].rss_mib:.0f} MiB"
            for name in self._programs
        ]
        return "; ".join(shown)


async def _settled(cluster: ClusterHandle, programs: Programs) -> dict[str, Program]:
    """Wait until all programs are ready, a pinner leads, and nobody writes. Returns the programs by their titles."""
    end = time.monotonic() + _PATIENCE
    names = [each.pod for each in programs.running]
    await asyncio.sleep(_CYCLES - _QUIET)
    while time.monotonic() < end:
        mark = Mark.now(cluster.audit_log)
        await asyncio.sleep(_QUIET)
        titles = await asyncio.to_thread(programs.titles)
        if titles is None or not await _all_ready(programs):
            continue
        if not requests.writes(requests.by_pod(mark.lines(), names)):
            return titles
    raise BenchError(f"the programs have not settled within {_PATIENCE:g} s")


async def _all_ready(programs: Programs) -> bool:
    async with aiohttp.ClientSession() as session:
        for each in programs.running:
            _ = each.pid  # it has not ended
            if not await kubelet.answers(session, each.health, "/readyz"):
                return False
    return True


@asynccontextmanager
async def _visited(programs: Programs) -> AsyncIterator[None]:
    """Probe and scrape all programs as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(kubelet.visit(each.health, each.container)) for each in programs.running]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def _beside(work: object) -> AsyncIterator[None]:
    """Run a coroutine as long as the context lasts."""
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
