"""`python -m tools.bench.compaction.live`: run all contenders, show tables, write build/bench/compaction-live.json."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from moorage.ops.aio import run_command
from tools.bench.common import tables
from tools.bench.common.errors import BenchError
from tools.bench.compaction import clusters
from tools.bench.compaction.case import LARGER, MIXED, PLAIN
from tools.localcluster import ClusterError
from tools.localcluster.binaries import binaries

from . import contenders, figures
from .figures import Run
from .run import Task, run

_OUTPUT = Path("build/bench/compaction-live.json")
_LOGS = Path("build/bench/compaction-live")
_FREE = 0.6
"""The part of the nodes that can be emptied. The others are full at first, and then share their pods with all."""
_PODS = 22
"""Pods of a full node. With 60 nodes there are about 588, those of the DaemonSet included."""
_PROFILES = (PLAIN, MIXED)
_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run the benchmark. Returns 0 if all targets are met, 1 if one is missed or it failed, 130 if interrupted."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    runs: list[Run] = []
    code, failure = 0, ""
    try:
        _measure(arguments, runs)
    except (BenchError, ClusterError) as error:
        code, failure = 1, f"bench:compaction:live failed: {error}"
    except KeyboardInterrupt:
        code, failure = 130, "bench:compaction:live interrupted; what was measured is kept"
    found = figures.grouped(runs)
    missed = _show(arguments, found, load)
    if failure:
        _console.print(failure, style="red", markup=False)
        return code
    verdict = f"missed: {'; '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:compaction:live --",
        description="What Moorage and descheduler really free of a seeded cluster, beside Karpenter (WhenEmpty).",
    )
    parser.add_argument("--nodes", type=int, default=60, help="nodes of the cluster, a multiple of three (60)")
    parser.add_argument("--seed", type=int, default=1, help="what makes the cluster this one; one more each round (1)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds, interleaved; medians count (1)")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long a contender has at most (8)")
    parser.add_argument(
        "--profiles", type=_among(_PROFILES), default=_PROFILES, metavar="NAME,NAME", help="plain,mixed"
    )
    parser.add_argument(
        "--contenders",
        type=_among(contenders.NAMES),
        default=contenders.NAMES,
        metavar="NAME,NAME",
        help=",".join(contenders.NAMES),
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json")
    arguments = parser.parse_args()
    if arguments.nodes < 6 or arguments.nodes % 3:
        parser.error("--nodes must be a multiple of three, and at least 6")
    if arguments.rounds < 1 or arguments.minutes <= 0:
        parser.error("--rounds must be at least 1, and --minutes more than 0")
    return arguments


class _among:  # noqa: N801 - used as a function
    """Parses names separated by commas.

    Args:
        known: all names.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> tuple[str, ...]:
        """The names, in the order of `known`."""
        names = text.split(",")
        for name in names:
            if name not in self._known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(self._known)}")
        return tuple(name for name in self._known if name in names)


def _measure(arguments: argparse.Namespace, runs: list[Run]) -> None:
    """Run all contenders on the clusters of all rounds and profiles."""
    others = set(arguments.contenders) - set(contenders.OURS)
    binaries(["demo", "kwok", "karpenter", *(["descheduler"] if others else [])])
    told = ", ".join(f"{name} {value}" for name, value in contenders.SETTINGS.items())
    _progress(f"Moorage's settings: {told}; Karpenter: WhenEmpty, consolidateAfter 10s, buys nothing")
    for number in range(arguments.rounds):
        for profile in arguments.profiles:
            for contender in arguments.contenders:
                title = f"round {number + 1} of {arguments.rounds}, {profile}, {contender}"
                logs = _LOGS / f"{number + 1}-{profile}-{contender}"
                shutil.rmtree(logs, ignore_errors=True)
                logs.mkdir(parents=True)
                cluster = seeded(arguments.nodes, arguments.seed + number, profile)
                found = _one(Task(contender, profile, cluster, arguments.minutes, logs.absolute()), title)
                runs.append(found)
                _progress(f"{title}: {figures.sentence(found)}")


def _one(task: Task, title: str) -> Run:
    """Run one contender on one cluster."""
    return run_command(lambda: run(task, lambda text: _progress(f"{title}: {text}")))


def seeded(nodes: int, seed: int, profile: str) -> clusters.Cluster:
    """The cluster of a round."""
    mixed = profile == MIXED
    return clusters.planted(nodes, seed, mixed=mixed, free=_FREE, pods=round(_PODS / (LARGER if mixed else 1)))


def _show(arguments: argparse.Namespace, found: dict[str, dict[str, Run]], load: float) -> list[str]:
    """Write the figures and show the tables. Returns the missed targets."""
    text = json.dumps(
        {
            "nodes": arguments.nodes,
            "seed": arguments.seed,
            "rounds": arguments.rounds,
            "load_before": round(load, 2),
            "moorage": contenders.SETTINGS,
            "results": {
                profile: {name: asdict(each) for name, each in group.items()} for profile, group in found.items()
            },
        },
        indent=2,
    )
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(f"{text}\n")
    targets = list(figures.targets(found))
    if arguments.output == "json":
        sys.stdout.write(f"{text}\n")
    else:
        machine = (
            f"{arguments.nodes} nodes, {os.cpu_count()} cores, load {load:.1f} before; medians of {arguments.rounds}"
        )
        tables.show(machine, figures.COLUMNS, figures.lines(found))
        tables.show("Moorage's targets", ("profile", "contender", "figure", "target", ""), targets)
    return [f"{profile}, {who}: {figure} ({target})" for profile, who, figure, target, state in targets if state]


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
