"""`python -m tools.bench.failover`: kill leaders, show a table, write build/bench/failover.json."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.errors import KubeError
from moorage.kube.transport import Transport
from moorage.ops.aio import run_command
from tools.bench.common import tables
from tools.bench.common.errors import BenchError
from tools.bench.failover import figures
from tools.bench.failover.figures import Kill
from tools.bench.failover.scene import Scene, pinned
from tools.localcluster import ClusterError, LocalCluster

_OUTPUT = Path("build/bench/failover.json")
_LATEST = 1.0
"""Seconds after a Deployment's creation within which a leader is killed: it takes that long to create its pods."""
_SETTLED = 60.0
_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run it; 0 when all targets are met, 1 when one is missed or it failed, 130 when interrupted."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    kills: list[Kill] = []
    try:
        _measure(arguments, kills)
    except (BenchError, ClusterError, KubeError) as error:
        _console.print(f"bench:failover failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:failover interrupted, nothing is left running")
        return 130
    found = figures.result(kills)
    text = json.dumps(found | {"load_before": round(load, 2), "each": [asdict(kill) for kill in kills]}, indent=2)
    _OUTPUT.write_text(f"{text}\n")
    lines = list(figures.table(found))
    if arguments.output == "json":
        sys.stdout.write(f"{text}\n")
    else:
        title = f"{arguments.kills} kills, {arguments.nodes} nodes with {arguments.slots} slots each, load {load:.1f}"
        tables.show(title, ("", "figure", "target", ""), lines)
    missed = [name for name, *_, state in lines if state]
    verdict = f"missed: {', '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:failover --", description="Kills the leading pod pinner while expected pods are created."
    )
    parser.add_argument("--kills", type=int, default=20, help="how many (20)")
    parser.add_argument("--nodes", type=int, default=3, help="promised nodes at each kill (3)")
    parser.add_argument("--slots", type=int, default=10, help="expected pods on each (10)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed chooses the same moments (1)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json")
    arguments = parser.parse_args()
    if min(arguments.kills, arguments.nodes, arguments.slots) < 1:
        parser.error("all numbers must be at least 1")
    return arguments


def _measure(arguments: argparse.Namespace, kills: list[Kill]) -> None:
    logs = _OUTPUT.parent / "failover"
    logs.mkdir(parents=True, exist_ok=True)
    with LocalCluster() as cluster:
        run_command(lambda: _kill_all(arguments, cluster, logs.absolute(), kills))


async def _kill_all(arguments: argparse.Namespace, cluster: LocalCluster, logs: Path, kills: list[Kill]) -> None:
    chance = random.Random(arguments.seed)
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        scene = Scene(cluster, Client(transport), logs)
        try:
            await scene.start()
            for number in range(arguments.kills):
                at = round(chance.uniform(0, _LATEST), 2)
                kill = await _kill(scene, f"web-{number}", at, arguments.nodes, arguments.slots)
                kills.append(kill)
                _progress(
                    f"kill {number + 1} of {arguments.kills}: taken over after {kill.takeover_s:.1f} s, "
                    f"{kill.filled} of {kill.slots} slots filled, {kill.lost} lost, {kill.doubled} doubled"
                )
        finally:
            await scene.stop()


async def _kill(scene: Scene, app: str, at: float, count: int, each: int) -> Kill:
    """One kill in the middle of a Deployment's creation."""
    nodes = [f"{app}-{number}" for number in range(count)]
    await scene.expect(app, nodes, each)
    leader = await scene.leader()
    await scene.deploy(app, count * each)
    await asyncio.sleep(at)
    takeover = await scene.kill(leader)
    pods = await scene.pods(app)
    end = time.monotonic() + _SETTLED
    while time.monotonic() < end and sum(pinned(pod, nodes) for pod in pods) < count * each:
        await asyncio.sleep(0.2)
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


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
