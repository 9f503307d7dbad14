"""`python -m tools.bench.idle`: measure an idle installation, show a table, write build/bench/idle.json.

`build/bench/idle.md` is the table for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from moorage.ops.aio import run_command
from tools.bench.common import tables
from tools.bench.common.errors import BenchError
from tools.localcluster import ClusterError
from tools.localcluster.binaries import binaries
from tools.toolchain import ToolError

from . import figures
from .figures import Json
from .measure import Size, measure

_OUTPUT = Path("build/bench/idle.json")
_LOGS = Path("build/bench/idle")
_SIZES = (100, 1000)
_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run the benchmark. Returns 0 if all targets are met, 1 if one is missed or it failed, 130 if interrupted."""
    arguments = _arguments()
    load = os.getloadavg()[0]
    sizes: list[Json] = []
    code, failure = 0, ""
    try:
        _measure(arguments, sizes)
    except (BenchError, ClusterError, ToolError) as error:
        code, failure = 1, f"bench:idle failed: {error}"
    except KeyboardInterrupt:
        code, failure = 130, "bench:idle interrupted, nothing is left running; sizes that were measured are kept"
    missed = figures.missed(sizes)
    if sizes:
        _show(arguments, sizes, missed, load)
    if failure:
        _console.print(failure, style="red", markup=False)
        return code
    verdict = f"missed: {'; '.join(missed)}" if missed else "all targets met"
    _console.print(f"{_OUTPUT} written; {verdict}", soft_wrap=True)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:idle --",
        description="What pinner (leader and standby), evictor and planner cost while there is nothing to do.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long each size is measured (10)")
    parser.add_argument(
        "--baseline-minutes", type=float, help="how long the API server is measured without us (as --minutes)"
    )
    parser.add_argument(
        "--nodes", type=int, action="append", metavar="N", help="a size; repeat it for more (100 and 1000)"
    )
    parser.add_argument("--pods", type=int, default=3, help="pods on each node (3)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json")
    arguments = parser.parse_args()
    arguments.nodes = arguments.nodes or list(_SIZES)
    if arguments.baseline_minutes is None:
        arguments.baseline_minutes = arguments.minutes
    if min(*arguments.nodes, arguments.pods, 1) < 1 or arguments.pods > 20:
        parser.error("--nodes must be at least 1, and --pods 1 to 20")
    if min(arguments.minutes, arguments.baseline_minutes) <= 0:
        parser.error("--minutes and --baseline-minutes must be more than 0")
    return arguments


def _measure(arguments: argparse.Namespace, sizes: list[Json]) -> None:
    binaries(["demo", "kwok"])
    for nodes in arguments.nodes:
        logs = _LOGS / str(nodes)
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir(parents=True)
        size = Size(
            nodes=nodes,
            pods_each=arguments.pods,
            seconds=60 * arguments.minutes,
            baseline=60 * arguments.baseline_minutes,
        )
        sizes.append(run_command(lambda: measure(size, logs.absolute(), _progress(size.nodes))))  # noqa: B023 - at once


def _show(arguments: argparse.Namespace, sizes: list[Json], missed: list[str], load: float) -> None:
    result = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "targets": figures.TARGETS,
        "sizes": sizes,
        "missed": missed,
    }
    text = json.dumps(result, indent=2) + "\n"
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(text)
    _OUTPUT.with_suffix(".md").write_text(figures.markdown(sizes))
    if arguments.output == "json":
        sys.stdout.write(text)
        return
    title = f"idle for {arguments.minutes:g} minutes, {arguments.pods} pods on each node, load {load:.1f} before"
    tables.show(title, figures.COLUMNS, figures.table(sizes))


class _progress:  # noqa: N801 - used as a function
    """Prints lines about a size.

    Args:
        nodes: its number of nodes.
    """

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes

    def __call__(self, message: str) -> None:
        """Print a line."""
        line = f"{time.monotonic() - _began:7.1f} s  {self._nodes:,} nodes: {message}"
        _console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
