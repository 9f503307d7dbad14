"""Moorage's reader: a process with the caches of pods and nodes, and a subscriber that counts events.

It uses the line protocol of tools/bench/informer/main.go: one JSON object per line on standard output, first "synced",
then one answer per command on standard input (`report`, `count N`). It exits when standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import uvloop

from moorage.kube import credentials, indexes
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.kube.resources import NODES, PODS
from moorage.objects import Pod


class Counter:
    """Answers after a number of pod events."""

    def __init__(self) -> None:
        self._left = self._target = 0
        self._cpu = self._began = 0.0

    def expect(self, events: int) -> None:
        """Count this many events from now on."""
        self._left = self._target = events
        self._cpu = _cpu_seconds()

    def add(self, _change: Change[Pod]) -> None:
        """An event: called by the cache."""
        if not self._left:
            return
        if self._left == self._target:
            self._began = time.monotonic()
        self._left -= 1
        if not self._left:
            elapsed, cpu = time.monotonic() - self._began, _cpu_seconds() - self._cpu
            _answer(events=self._target, elapsed_s=elapsed, cpu_s=cpu)


async def follow(kubeconfig: Path, pods_resource: Resource[Pod]) -> None:
    """Sync both caches, then run commands until standard input ends."""
    idle = _memory()
    access = await asyncio.to_thread(credentials.load, kubeconfig)
    async with Transport(access) as transport, asyncio.TaskGroup() as tasks:
        both = {"by_node": indexes.by_node, "by_controller": indexes.by_controller}
        pods = WatchCache(transport, pods_resource, indexes=both)
        nodes = WatchCache(transport, NODES)
        counter = Counter()
        pods.subscribe(counter.add)
        running = [tasks.create_task(cache.run()) for cache in (pods, nodes)]
        await pods.wait_synced()
        await nodes.wait_synced()
        _answer(synced=True, cpu_s=_cpu_seconds(), pods=len(pods), nodes=len(nodes), import_rss_kib=idle["rss_kib"])
        await _obey(counter)
        for task in running:
            task.cancel()


async def _obey(counter: Counter) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        match line.decode().split():
            case ["report"]:
                _answer(**_memory())
            case ["count", number]:
                counter.expect(int(number))
                _answer(counting=int(number))
            case _:
                raise SystemExit(f"unknown command {line!r}")


def _answer(**fields: float | bool) -> None:
    print(json.dumps(fields), flush=True)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {"rss_kib": int(status["VmRSS"].split()[0]), "peak_kib": int(status["VmHWM"].split()[0])}


def main() -> None:
    """Run the reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="read pods in JSON instead of protobuf")
    parser.add_argument("--profile", type=Path, help="write a cProfile of everything here; its figures do not count")
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    if profile:
        profile.enable()
    uvloop.run(follow(arguments.kubeconfig, replace(PODS, protobuf=None) if arguments.json else PODS))
    if profile:
        profile.disable()
        profile.dump_stats(arguments.profile)


if __name__ == "__main__":
    main()
