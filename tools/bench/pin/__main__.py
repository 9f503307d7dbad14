"""`python -m tools.bench.pin`: run the benchmark, show the table, write its figures.

`build/bench/pin.json` has all figures, and `build/bench/bench-pin.json` is the source of docs/images/bench-pin.svg. To
draw the picture again, copy it to docs/images and run `task generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

import tools.image as image
from moorage.ops.aio import run_command
from tools.bench.common import store, tables
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures
from tools.bench.pin import account, contenders, figures, picture
from tools.bench.pin.audit import AuditLog
from tools.bench.pin.contenders import Stage
from tools.bench.pin.installation import Checkout, Image, Installation
from tools.bench.pin.scene import Scene
from tools.localcluster import ClusterError, ClusterOptions, LocalCluster
from tools.localcluster.binaries import binaries
from tools.localcluster.components import SCHEDULER

_BINDER = "moorage-bench-binder"
_OUTPUT = Path("build/bench/pin.json")
_RATES = _OUTPUT.with_name(picture.RECORDED.name)
_SHARED = 0.1
"""Cores that other processes may use before the figures count as preliminary."""
_AUDIT_MEGABYTES = 8192  # never rotated: it shows when a pod was bound

_console = Console(stderr=True)
_began = time.monotonic()

Rounds = dict[str, list[Figures]]
Grown = dict[int, Figures]


def main() -> int:
    """Run the benchmark. Returns 0 if it has figures (with --check: and all targets are met), else 1."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    try:
        rounds, grown, measured = _run(arguments)
    except (BenchError, ClusterError) as error:
        _console.print(f"bench:pin failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:pin interrupted, nothing is left running")
        return 130
    found = figures.result(rounds, grown)
    text = json.dumps(found | {"load_before": round(load, 2), "measured": measured}, indent=2) + "\n"
    _OUTPUT.write_text(text)
    where = f"{arguments.nodes:,} nodes, {arguments.pods:,} pods, {os.cpu_count()} cores, {measured}"
    machine = f"{where}; medians"
    _RATES.write_text(picture.recorded(rounds, where))
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        tables.show(machine, ("", "figure", "target", ""), figures.table(found))
    if found["others_cores"] > _SHARED:
        _console.print(
            f"others kept {found['others_cores']:.1f} cores busy: the figures are preliminary", style="yellow"
        )
    missed = figures.missed(found)
    verdict = f"missed: {'; '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed and arguments.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="task bench:pin --",
        description="Measures how fast Moorage pins, beside a bare client-go program and kube-scheduler.",
    )
    parser.add_argument("--nodes", type=int, default=500, help="nodes that pods are bound to")
    parser.add_argument("--pods", type=int, default=5000, help="pods that are bound in one go")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per contender, interleaved; medians count")
    parser.add_argument("--steady", type=int, default=2000, help="pods per round that are pinned at --rate")
    parser.add_argument("--rate", type=float, default=100.0, help="pods a second of the steady part")
    parser.add_argument("--pins", type=int, default=2000, help="pods that are pinned with each --cached")
    parser.add_argument(
        "--cached",
        type=int,
        nargs="*",
        default=[1000, figures.LARGE],
        metavar="N",
        help="running pods in the pinner's cache, 30 on a node, to see memory and cost grow; none skips that",
    )
    parser.add_argument("--checkout", action="store_true", help="measure this checkout on this Python, not the image")
    parser.add_argument(
        "--profile", action="store_true", help="cProfile the pinner of this checkout into build/bench/pin.prof; slower"
    )
    parser.add_argument("--check", action="store_true", help="a missed target is an error")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    numbers = (arguments.nodes, arguments.rounds, arguments.steady, arguments.rate, arguments.pins, *arguments.cached)
    if min(numbers) < 1 or arguments.pods < arguments.nodes:
        parser.error("all numbers must be at least 1, and there must be a pod for each node")
    return arguments


def _run(arguments: argparse.Namespace) -> tuple[Rounds, Grown, str]:
    """Measure on a control plane without scheduler, garbage collection and node taints.

    Returns:
        The rounds, the measurements with full caches, and the installation of Moorage.
    """
    binder = binaries([_BINDER])[_BINDER]
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    options = ClusterOptions(
        flow_control=False,
        # The API server does not compact etcd during a measurement: the scene does so before it.
        apiserver_flags={"audit-log-maxsize": str(_AUDIT_MEGABYTES), "etcd-compaction-interval": "0"},
        controller_manager_flags={"controllers": "serviceaccount"},
    )
    _progress("starting the control plane")
    with LocalCluster(options=options) as cluster:
        cluster.kill(SCHEDULER)
        folder = cluster.directory / "bench"  # removed with the cluster, also after kill -9
        folder.mkdir()
        try:
            return run_command(lambda: _measure(arguments, cluster, folder, binder))
        except BenchError:
            kept = _OUTPUT.parent / "pin-failed"
            kept.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, kept)
            _progress(f"logs kept in {kept}")
            raise


async def _measure(
    arguments: argparse.Namespace, cluster: LocalCluster, folder: Path, binder: Path
) -> tuple[Rounds, Grown, str]:
    shared = folder / "shared"
    shared.mkdir(mode=0o755)
    installation = _installation(arguments, folder, shared)
    async with store.connect(store.address(cluster), cluster.ca_file.parent) as etcd:
        scene = Scene(cluster, etcd)
        await scene.prepare()
        audit = AuditLog(cluster.audit_log)
        kubeconfig = account.kubeconfig(cluster, shared)
        stage = Stage(
            cluster, scene, audit, folder, shared, kubeconfig, installation, arguments.nodes, arguments.pods, binder
        )
        rounds = await _rounds(arguments, stage)
        grown: Grown = {}
        for running in sorted(set(arguments.cached)):
            grown[running] = found = await contenders.grown(stage, running=running, pins=arguments.pins)
            _progress(
                f"{running:,} running pods in the cache: {found['cpu_us_per_pin']:.0f} µs a pin, "
                f"RSS {found['rss_mib']:.0f} MiB, at most {found['peak_mib']:.0f}"
            )
        return rounds, grown, installation.title


def _installation(arguments: argparse.Namespace, folder: Path, shared: Path) -> Installation:
    """The image if it can be built, unless the checkout is requested."""
    wished = arguments.checkout or arguments.profile
    lacking = None if wished else image.missing()
    if wished or lacking:
        profile = _OUTPUT.with_suffix(".prof").absolute() if arguments.profile else None
        found: Installation = Checkout(profile)
    else:
        found = Image(folder / "image", shared)
    _progress(f"measuring {found.title}" + (f", not the image: {lacking}" if lacking else ""))
    return found


async def _rounds(arguments: argparse.Namespace, stage: Stage) -> Rounds:
    measure: dict[str, Callable[[], Awaitable[Figures]]] = {
        figures.CEILING: lambda: contenders.ceiling(stage, in_flight=figures.IN_FLIGHT),
        figures.MOORAGE: lambda: contenders.moorage(stage, steady=arguments.steady, rate=arguments.rate),
        figures.SCHEDULER: lambda: contenders.scheduler(stage),
        figures.CEILING_32: lambda: contenders.ceiling(stage, in_flight=32),
    }
    rounds: Rounds = {name: [] for name in measure}
    for number in range(arguments.rounds):
        # The effect of fewer requests in flight is shown once, and not first, when an API server is fastest.
        for name in figures.ORDER if number else (*figures.ORDER, figures.CEILING_32):
            rounds[name].append(found := await measure[name]())
            _progress(f"round {number + 1} of {arguments.rounds}, {name}: {_sentence(found)}")
    return rounds


def _sentence(found: Figures) -> str:
    sentence = f"{found['per_s']:.0f} pods/s, CPU {found['cpu_s']:.1f} s, at most {found['peak_mib']:.0f} MiB"
    if "p99_ms" in found:
        sentence += f"; steady p50 {found['p50_ms']:.0f} ms, p99 {found['p99_ms']:.0f} ms"
    return sentence


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
