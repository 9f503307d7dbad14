"""`python -m tools.bench.admission`: run the benchmark, show the table, write build/bench/admission.json."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console

from moorage.kube import credentials, errors
from moorage.kube.http.transport import Transport
from moorage.ops.aio import run_command
from tools.bench.admission import contenders, figures
from tools.bench.admission.contenders import NODES, SLOTS, Stage
from tools.bench.admission.load import Load, Steady
from tools.bench.common import store, tables
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures, medians
from tools.bench.common.pace import SLICE
from tools.bench.pin import account
from tools.bench.pin.scene import Scene
from tools.localcluster import ClusterError, ClusterOptions, LocalCluster

IN_FLIGHT = 32
WARM_UP = 500
"""Pods that are created before the first round, because an API server is slow at first."""
ORDER = (
    ("none", contenders.nobody),
    ("idle", contenders.idle),
    ("pinning", contenders.pinning),
    ("trivial", contenders.trivially),
    ("none", contenders.nobody),
)
_OUTPUT = Path("build/bench/admission.json")
_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run the benchmark. Returns 0 if it has figures (with --check: and all targets are met), else 1."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = _run(arguments)
    except (BenchError, ClusterError, errors.KubeError) as error:
        _console.print(f"bench:admission failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:admission interrupted, nothing is left running")
        return 130
    text = json.dumps(found | {"load_before": round(load, 2)}, indent=2) + "\n"
    _OUTPUT.write_text(text)
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        title = f"{arguments.rounds} rounds of {arguments.pods:,} pods each, {os.cpu_count()} cores; medians"
        tables.show(title, ("", "figure", "target", ""), figures.table(found))
    missed = figures.missed(found)
    verdict = f"missed: {'; '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed and arguments.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="task bench:admission --", description="Measures the cost of the webhook for clients that create pods."
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; medians count (3)")
    parser.add_argument("--pods", type=int, default=2000, metavar="N", help="pods of each contender in a round (2000)")
    parser.add_argument("--seconds", type=float, default=24, metavar="S", help="of each round at the steady rate (24)")
    parser.add_argument("--rate", type=float, default=200, metavar="N", help="pods a second at that (200)")
    parser.add_argument("--check", action="store_true", help="a missed target is an error")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.pods, arguments.rate) < 1 or arguments.seconds < 2 * SLICE:
        parser.error(f"all numbers must be at least 1, and the seconds {2 * SLICE:g}")
    if max(arguments.pods, arguments.seconds * arguments.rate / 2 + SLICE * arguments.rate) > NODES * SLOTS:
        parser.error(f"no more than {NODES * SLOTS} pods are expected")
    return arguments


def _run(arguments: argparse.Namespace) -> Figures:
    """Measure on a control plane that only serves.

    Returns:
        The medians of the rounds, and counts of what must not happen.
    """
    options = ClusterOptions(
        flow_control=False,
        scheduler=False,
        apiserver_flags={"etcd-compaction-interval": "0"},
        controller_manager_flags={"controllers": "serviceaccount"},
    )
    _progress("starting the control plane")
    with LocalCluster(options=options) as cluster:
        folder = cluster.directory / "bench"  # removed with the cluster, also after kill -9
        folder.mkdir()
        try:
            return run_command(lambda: _measure(arguments, cluster, folder))
        except BenchError:
            kept = _OUTPUT.parent / "admission-failed"
            kept.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, kept)
            _progress(f"logs kept in {kept}")
            raise


async def _measure(arguments: argparse.Namespace, cluster: LocalCluster, folder: Path) -> Figures:
    async with store.connect(store.address(cluster), cluster.ca_file.parent) as etcd:
        scene = Scene(cluster, etcd)
        await scene.prepare()
        kubeconfig = account.kubeconfig(cluster, folder)
        async with Transport(credentials.load(kubeconfig)) as transport:
            stage = Stage(cluster, scene, transport, Load(transport), kubeconfig, folder)
            await stage.prepare()
            await stage.load.burst(WARM_UP, IN_FLIGHT)
            failed, rounds, not_pinned = await stage.failed(), [], 0
            for number in range(arguments.rounds):
                found, left = await _round(arguments, stage, number + 1)
                rounds.append(found)
                not_pinned += left
            calls = await stage.failed() - failed
    return medians(rounds) | {"failed_calls": calls, "not_pinned": not_pinned, "lag_ms": round(max(stage.lags), 1)}


async def _round(arguments: argparse.Namespace, stage: Stage, number: int) -> tuple[Figures, int]:
    """The figures of a round, and the number of expected pods that were not pinned in it."""
    rates, steady, not_pinned = defaultdict[str, list[float]](list), Steady(), 0
    for name, contender in ORDER:
        async with contender(stage):
            rate, pinned = await stage.load.burst(arguments.pods, IN_FLIGHT)
            rates[name].append(rate)
            _progress(f"round {number} of {arguments.rounds}, {name}: {rate:.0f} pods/s, {pinned} of them pinned")
            if name == "pinning":
                not_pinned += arguments.pods - pinned
                await stage.scene.clear_pods()
                await contenders.ready(stage)
                steady = await stage.load.steady(arguments.seconds, arguments.rate)
                not_pinned += steady.not_pinned
    return figures.of_round(rates, steady), not_pinned


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
