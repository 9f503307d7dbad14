"""`python -m tools.bench.fit`: pack clusters, ask the scheduler's plugins the same, write build/bench/fit.json."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.bench.fit import workload
from tools.fitoracle import Oracle, OracleError, program
from tools.toolchain import ToolError, ensure

_OUTPUT = Path("build/bench/fit.json")
_PLURALS = ("nodes", "csinodes", "persistentvolumeclaims", "persistentvolumes")
_TARGETS = {"us_per_pod_1000": 60.0, "rss_mib_1000": 300.0, "rss_mib_5000": 1228.8}
_console = Console(stderr=True)

Figures = dict[str, Any]


class BenchError(Exception):
    """The benchmark cannot run, or the two programs decided differently."""


def main() -> int:
    """Run it. Returns 0 if it has figures and all decisions are equal (--check: and all targets are met), else 1."""
    arguments = _arguments()
    try:
        results = _run(arguments.rounds, oracle=not arguments.no_oracle)
    except (BenchError, ToolError, OracleError) as error:
        _console.print(f"[red]{error}[/red]")
        return 1
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    _show(results)
    missed = _missed(results)
    for line in missed:
        _console.print(f"[red]target missed: {line}[/red]")
    return 1 if missed and arguments.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="task bench:fit --", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each packing is done; medians count (3)")
    parser.add_argument("--no-oracle", action="store_true", help="leave out the scheduler's own plugins")
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help=f"where the figures go ({_OUTPUT})")
    return parser.parse_args()


def _run(rounds: int, *, oracle: bool) -> Figures:
    executable = _oracle_program() if oracle else None
    with tempfile.TemporaryDirectory(prefix="moorage-fit-") as name:
        folders = {}
        for nodes, pods in ((1000, 30_000), (5000, 150_000)):
            folders[nodes] = Path(name) / str(nodes)
            _write(folders[nodes], nodes, pods)
        packed: dict[int, list[Figures]] = {1000: [], 5000: []}
        for number in range(rounds):
            for nodes, folder in folders.items():
                _console.print(f"round {number + 1} of {rounds}: {nodes} nodes")
                packed[nodes].append(_pack(folder))
        results = _summary(packed)
        if executable is not None:
            results |= _ask_oracle(executable, folders[1000], packed[1000][0]["assignments"])
    return results


def _oracle_program() -> Path:
    return program() if os.environ.get("MOORAGE_FITORACLE") else ensure(["fitoracle"])["fitoracle"]


def _write(folder: Path, nodes: int, pods: int) -> None:
    folder.mkdir()
    files = {plural: (folder / f"{plural}.jsonl").open("w") for plural in (*_PLURALS, "pods")}
    try:
        for node in workload.nodes(nodes):
            files["nodes"].write(json.dumps(node) + "\n")
            files["csinodes"].write(json.dumps(workload.csi_node(node)) + "\n")
        for pod in workload.pods(pods, nodes):
            files["pods"].write(json.dumps(pod) + "\n")
            for plural, thing in workload.storage(pod):
                files[plural].write(json.dumps(thing) + "\n")
    finally:
        for file in files.values():
            file.close()


def _pack(folder: Path) -> Figures:
    command = [sys.executable, "-m", "tools.bench.fit.pack", str(folder)]
    path = os.pathsep.join(["runtime", ".", os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=os.environ | {"PYTHONPATH": path})
    if done.returncode:
        raise BenchError(f"the packing in {folder} ended with status {done.returncode}; its output above says why")
    figures: Figures = json.loads(done.stdout)
    return figures


def _summary(packed: Mapping[int, list[Figures]]) -> Figures:
    def median(nodes: int, key: str) -> float:
        return round(float(statistics.median(figures[key] for figures in packed[nodes])), 2)

    results: Figures = {}
    for nodes in packed:
        results[f"us_per_pod_{nodes}"] = median(nodes, "us_per_pod")
        results[f"rss_mib_{nodes}"] = median(nodes, "rss_mib")
        results[f"build_s_{nodes}"] = median(nodes, "build_s")
        results[f"one_pod_all_nodes_us_{nodes}"] = median(nodes, "one_pod_all_nodes_us")
        results[f"one_pod_all_reasons_ms_{nodes}"] = median(nodes, "one_pod_all_reasons_ms")
        results[f"one_pod_barred_nodes_us_{nodes}"] = median(nodes, "one_pod_barred_nodes_us")
        results[f"cordoning_a_node_ms_{nodes}"] = median(nodes, "cordoning_a_node_ms")
        results[f"spreads_{nodes}"] = packed[nodes][0]["sizes"]["spreads"]
        assignments = packed[nodes][0]["assignments"]
        results[f"pods_{nodes}"] = len(assignments)
        results[f"placed_{nodes}"] = sum(1 for node in assignments if node)
    results["rounds"] = len(packed[1000])
    return results


def _ask_oracle(executable: Path, folder: Path, assignments: list[str]) -> Figures:
    objects = {plural: _read(folder / f"{plural}.jsonl") for plural in _PLURALS}
    request: Figures = {"id": "packing", "objects": objects, "pending": _read(folder / "pods.jsonl")}
    results: Figures = {}
    for name, options in (("first", {"mode": "first"}), ("all", {"mode": "all", "parallel": True})):
        _console.print(f"the scheduler's plugins, mode {name}: 1000 nodes")
        with Oracle(executable, "bench") as oracle:
            reply = oracle.ask(request | {"bench": options})
        if "error" in reply:
            raise BenchError(f"the oracle refused the packing: {reply['error']}")
        differing = [place for place, node in enumerate(reply["assignments"]) if node != assignments[place]]
        if differing:
            pod = request["pending"][differing[0]]["metadata"]["name"]
            theirs, ours = reply["assignments"][differing[0]], assignments[differing[0]]
            raise BenchError(
                f"{len(differing)} of {len(assignments)} decisions differ, the first on pod {pod}: "
                f"the plugins say {theirs or 'nowhere'}, we say {ours or 'nowhere'}"
            )
        results[f"plugins_us_per_pod_1000_{name}"] = round(reply["us_per_pod"], 2)
        results[f"plugins_rss_mib_1000_{name}"] = round(reply["rss_mib"], 1)
    # The target compares with the faster of the two.
    results["plugins_us_per_pod_1000"] = min(results[f"plugins_us_per_pod_1000_{name}"] for name in ("first", "all"))
    results["equal_decisions_1000"] = len(assignments)
    return results


def _read(path: Path) -> list[Any]:
    with path.open() as lines:
        return [json.loads(line) for line in lines]


def _missed(results: Figures) -> list[str]:
    missed = [f"{key} is {results[key]}, wanted {most}" for key, most in _TARGETS.items() if results[key] > most]
    if results["us_per_pod_5000"] > 5 * results["us_per_pod_1000"]:
        missed.append("us_per_pod grows more than linearly in nodes")
    if results.get("plugins_us_per_pod_1000", float("inf")) <= results["us_per_pod_1000"]:
        missed.append("the scheduler's plugins are faster")
    return missed


def _show(results: Figures) -> None:
    table = Table("figure", "value")
    for key, value in results.items():
        table.add_row(key, str(value))
    _console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
