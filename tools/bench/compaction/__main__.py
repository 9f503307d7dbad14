"""`python -m tools.bench.compaction`: compact seeded clusters, show the table, write build/bench/compaction.json."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tools.bench.common import tables
from tools.bench.common.errors import BenchError

from . import figures
from .case import BOUNDED, MIXED, PLAIN, PLANTED, Case

_OUTPUT = Path("build/bench/compaction.json")
_SIZES = (60, 200, 1000, 5000)
_LEAST = 30
"""The smallest number of nodes."""
_TRIES = 8
"""Number of seeds that are tried for each case that counts."""
_PATIENCE = 1800.0
_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run it. Returns 0 if it has figures (with --check: and all targets are met), else 1, or 130 if interrupted."""
    arguments = _arguments()
    cases: list[Case] = []
    failure = ""
    code = 0
    try:
        _measure(cases, arguments.sizes, arguments.seeds)
    except BenchError as error:
        code, failure = 1, f"bench:compaction failed: {error}"
    except KeyboardInterrupt:
        code, failure = 130, "bench:compaction interrupted; what was measured is kept"
    text = json.dumps([asdict(case) for case in cases], indent=2) + "\n"
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(text)
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        title = f"Medians of clusters that are hard for first-fit (memory: the most), {os.cpu_count()} cores"
        tables.show(title, figures.COLUMNS, figures.lines(cases, arguments.seeds))
    for profile in (PLAIN, MIXED):
        if (power := figures.growth(cases, profile)) is not None:
            _console.print(f"{profile}: seconds grow with the power {power:.2f} of the nodes (≤ {figures.GROWTH})")
    if failure:
        _console.print(failure, style="red", markup=False)
        return code
    missed = figures.missed(cases, arguments.sizes, arguments.seeds)
    _console.print(f"{_OUTPUT} written; " + (f"missed: {'; '.join(missed)}" if missed else "all targets met"))
    return 1 if missed and arguments.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:compaction --",
        description="How many removable nodes the evictor finds, with time and memory, beside first-fit-decreasing.",
    )
    sizes = ",".join(map(str, _SIZES))
    parser.add_argument("--sizes", type=_sizes, default=list(_SIZES), metavar="N,N", help=f"numbers of nodes ({sizes})")
    parser.add_argument(
        "--seeds", "--rounds", type=int, default=5, metavar="N", help="clusters of each size, profile and kind (5)"
    )
    parser.add_argument("--check", action="store_true", help="a missed target is an error")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    return arguments


def _sizes(text: str) -> list[int]:
    try:
        found = [int(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: not numbers with commas between them") from None
    if min(found) < _LEAST:
        raise argparse.ArgumentTypeError(f"{min(found)}: a cluster has at least {_LEAST} nodes here")
    return sorted(set(found))


def _measure(cases: list[Case], sizes: list[int], wanted: int) -> None:
    """Add the first seeds whose clusters count, for each size, profile and kind."""
    for nodes in sizes:
        for profile in (PLAIN, MIXED):
            for kind in (PLANTED, BOUNDED):
                counted = 0
                for seed in range(_TRIES * wanted):
                    case, cpu = _in_a_process(nodes, profile, kind, seed)
                    _progress(
                        f"{_sentence(case)}, {cpu:.2f} s of CPU" + ("" if figures.counts(case) else "; passed over")
                    )
                    if figures.counts(case):
                        counted += 1
                        cases.append(case)
                    if counted == wanted:
                        break
                passed = seed + 1 - counted
                _progress(f"{nodes} nodes, {profile}, {kind}: {counted} count, {passed} passed over")


def _in_a_process(nodes: int, profile: str, kind: str, seed: int) -> tuple[Case, float]:
    """Measure a case in a process of its own, so that its memory is measured alone."""
    command = [sys.executable, "-m", "tools.bench.compaction.case", str(nodes), profile, kind, str(seed)]
    path = os.pathsep.join(["runtime", ".", os.environ.get("PYTHONPATH", "")])
    name = f"{nodes} nodes, {profile}, {kind}, seed {seed}"
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, env=os.environ | {"PYTHONPATH": path}, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name}: no answer within {_PATIENCE:g} s") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BenchError(f"{name}: it ended with status {done.returncode}: {''.join(last)}")
    found = json.loads(done.stdout.splitlines()[-1])
    cpu = found.pop("cpu_seconds")
    return Case(**found), cpu


def _sentence(case: Case) -> str:
    return (
        f"{case.nodes:,} nodes, {case.pods:,} pods, {case.profile}, {case.kind}, seed {case.seed}: {case.ratio:.3f} "
        f"(first-fit {case.ffd_ratio:.3f}), {case.seconds:.2f} s, {case.rss_mib:.0f} MiB"
    )


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
