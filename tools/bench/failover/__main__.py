"""`python -m tools.bench.failover`: kill leaders, show a table, write build/bench/failover.json."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.errors import KubeError
from moorage.kube.http.transport import Transport
from moorage.ops.aio import run_command
from tools.bench.common import tables
from tools.bench.common.errors import BenchError
from tools.bench.failover import figures, trials
from tools.bench.failover.figures import Gone, Handover, Kill
from tools.bench.failover.scene import Scene
from tools.localcluster import ClusterError, LocalCluster

_OUTPUT = Path("build/bench/failover.json")
_LATEST = 1.0
"""Seconds after a Deployment's creation within which a leader is killed: the creation of its pods takes as long."""
_console = Console(stderr=True)
_began = time.monotonic()


@dataclass
class _Found:
    kills: list[Kill] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    gone: Gone = field(default_factory=lambda: Gone((), (), ()))


def main() -> int:
    """Run the benchmark. Returns 0 if all targets are met, 1 if one is missed or it failed, 130 if interrupted."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    try:
        tried = _measure(arguments)
    except (BenchError, ClusterError, KubeError) as error:
        _console.print(f"bench:failover failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:failover interrupted, nothing is left running")
        return 130
    found = figures.result(tried.kills, tried.handovers, tried.gone)
    each = {"each": [asdict(kill) for kill in tried.kills], "each_handover": [asdict(one) for one in tried.handovers]}
    text = json.dumps(found | {"load_before": round(load, 2)} | each, indent=2)
    _OUTPUT.write_text(f"{text}\n")
    lines = list(figures.table(found))
    if arguments.output == "json":
        sys.stdout.write(f"{text}\n")
    else:
        title = (
            f"{arguments.kills} kills, {arguments.handovers} hand-overs, {arguments.nodes} nodes with "
            f"{arguments.slots} slots each, load {load:.1f}"
        )
        tables.show(title, ("", "figure", "target", ""), lines)
    missed = [name for name, *_, state in lines if state]
    verdict = f"missed: {', '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:failover --",
        description="Kills or ends the leading pod pinner while pods are expected, and then all of them.",
    )
    parser.add_argument("--kills", type=int, default=20, help="how many (20)")
    parser.add_argument("--handovers", type=int, default=5, help="how many leaders end by SIGTERM after them (5)")
    parser.add_argument("--nodes", type=int, default=3, help="promised nodes each time (3)")
    parser.add_argument("--slots", type=int, default=10, help="expected pods on each (10)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed chooses the same moments (1)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json")
    arguments = parser.parse_args()
    if min(arguments.kills, arguments.handovers, arguments.nodes, arguments.slots) < 1:
        parser.error("all numbers must be at least 1")
    return arguments


def _measure(arguments: argparse.Namespace) -> _Found:
    logs, found = _OUTPUT.parent / "failover", _Found()
    logs.mkdir(parents=True, exist_ok=True)
    with LocalCluster() as cluster:
        run_command(lambda: _try_all(arguments, cluster, logs.absolute(), found))
    return found


async def _try_all(arguments: argparse.Namespace, cluster: LocalCluster, logs: Path, found: _Found) -> None:
    chance, size = random.Random(arguments.seed), (arguments.nodes, arguments.slots)
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        scene = Scene(cluster, Client(transport), logs)
        try:
            await scene.start()
            for number in range(arguments.kills):
                at = round(chance.uniform(0, _LATEST), 2)
                kill = await trials.kill(scene, f"web-{number}", at, *size)
                found.kills.append(kill)
                _progress(
                    f"kill {number + 1} of {arguments.kills}: taken over after {kill.takeover_s:.1f} s, "
                    f"{kill.filled} of {kill.slots} slots filled, {kill.lost} lost, {kill.doubled} doubled"
                )
            for number in range(arguments.handovers):
                handover = await trials.hand_over(scene, f"shop-{number}", *size)
                found.handovers.append(handover)
                _progress(
                    f"hand-over {number + 1} of {arguments.handovers}: "
                    f"Lease after {handover.lease_s:.2f} s, label after {handover.label_s:.2f} s, "
                    f"pins after {handover.served_s:.2f} s; {handover.removed} removed, {handover.failed} calls failed"
                )
            _progress("all replicas are killed, and pods created")
            found.gone = await trials.all_gone(scene, "late", *size)
        finally:
            await scene.stop()


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
