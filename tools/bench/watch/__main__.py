"""`python -m tools.bench.watch`: run the benchmark, show the table, write build/bench/watch.json."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console

from tools.bench.common import store, tables
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures, medians
from tools.bench.watch import figures, rounds
from tools.bench.watch.child import TOKEN_VARIABLE, Child
from tools.localcluster import ClusterError, ClusterOptions, LocalCluster
from tools.localcluster.binaries import binaries

_INFORMER = "moorage-bench-informer"
_RECORDED = 10_000
_OUTPUT = Path("build/bench/watch.json")

_console = Console(stderr=True)
_began = time.monotonic()


def main() -> int:
    """Run the benchmark. Returns 0 if it has figures (with --check: and all targets are met), else 1."""
    arguments = _arguments()
    try:
        results = _run(arguments)
    except (BenchError, ClusterError) as error:
        _console.print(f"bench:watch failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:watch interrupted, nothing is left running")
        return 130
    ours, informer = results["ours"], results["informer"]
    text = json.dumps(figures.result(results), indent=2) + "\n"
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(text)
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        machine = f"{ours['nodes']:,.0f} nodes, {ours['pods']:,.0f} pods, {os.cpu_count()} cores; medians"
        columns = ("", "ours", "informer", "ratio", "target", "")
        tables.show(machine, columns, figures.table(ours, informer))
    missed = figures.missed(ours, informer)
    _console.print(f"{_OUTPUT} written; " + (f"missed: {'; '.join(missed)}" if missed else "all targets met"))
    return 1 if missed and arguments.check else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="task bench:watch --", description="Measures the watch cache beside client-go's informer."
    )
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per reader, interleaved; medians count")
    parser.add_argument("--burst", type=int, default=5_000, help="real events per round, as fast as the server writes")
    parser.add_argument("--paced", type=int, default=1_500, help="real events per round at --rate")
    parser.add_argument("--rate", type=int, default=250, help="paced events per second")
    parser.add_argument("--replay", type=int, default=30_000, help="recorded events per round")
    parser.add_argument("--json", action="store_true", help="also measure both with JSON")
    parser.add_argument(
        "--profile", action="store_true", help="profile Moorage's reader into build/bench; figures do not count"
    )
    parser.add_argument("--check", action="store_true", help="a missed target is an error")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args()
    numbers = (arguments.nodes, arguments.pods, arguments.rounds, arguments.burst, arguments.paced, arguments.rate)
    if min(*numbers, arguments.replay) < 1:
        parser.error("all numbers must be at least 1")
    return arguments


def _run(arguments: argparse.Namespace) -> dict[str, Figures]:
    """Measure on a control plane without scheduler, garbage collection and node taints."""
    readers = _readers(arguments)
    options = ClusterOptions(
        scheduler=False, flow_control=False, controller_manager_flags={"controllers": "serviceaccount"}
    )
    _progress("starting etcd and API server")
    with LocalCluster(options=options) as cluster:
        folder = cluster.directory / "bench"  # removed with the cluster, also after kill -9
        folder.mkdir()
        try:
            return _measure(arguments, cluster, folder, readers)
        except BenchError:
            kept = _OUTPUT.parent / "watch-failed"
            kept.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, kept)
            _progress(f"logs kept in {kept}")
            raise


def _readers(arguments: argparse.Namespace) -> dict[str, list[str]]:
    profile = ["--profile", str(_OUTPUT.with_suffix(".prof"))] if arguments.profile else []
    if profile:
        _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    informer = str(binaries([_INFORMER])[_INFORMER])
    readers = {"ours": rounds.module("reader", *profile), "informer": [informer]}
    in_json = {"ours_json": [*readers["ours"], "--json"], "informer_json": [informer, "--json"]}
    return readers | (in_json if arguments.json else {})


def _measure(
    arguments: argparse.Namespace, cluster: LocalCluster, folder: Path, readers: Mapping[str, Sequence[str]]
) -> dict[str, Figures]:
    os.environ[TOKEN_VARIABLE] = cluster.admin_token
    load = rounds.Load(arguments.burst, arguments.paced, arguments.rate, arguments.replay)
    source = ["--server", cluster.server, "--pki", str(cluster.ca_file.parent)]
    with (
        rounds.child("loader", rounds.module("loader", *source, "--etcd", store.address(cluster)), folder) as loader,
        rounds.child("replay", rounds.module("replay", *source), folder) as replay,
    ):
        replayed = _kubeconfig(cluster.kubeconfig, replay.hear(30)["port"], folder)
        sizes = _fill(arguments, loader, replay)
        stage = rounds.Stage(cluster.kubeconfig, replayed, loader, replay, load, folder)
        results: dict[str, list[Figures]] = {name: [] for name in readers}
        for number in range(1, arguments.rounds + 1):
            for name, argv in readers.items():
                results[name].append(measured := rounds.measure(name, argv, stage))
                if (measured["nodes"], measured["pods"]) != (arguments.nodes, arguments.pods):
                    raise BenchError(f"{name} synced with {measured['nodes']} nodes and {measured['pods']} pods")
                _progress(f"round {number} of {arguments.rounds}, {name}: {_sentence(measured)}")
    found = {name: medians(each) for name, each in results.items()}
    return found | {"ours": found["ours"] | sizes}


def _fill(arguments: argparse.Namespace, loader: Child, replay: Child) -> Figures:
    """Create the objects and record their first events. Returns the mean sizes of an event in bytes."""
    _progress(f"creating {arguments.nodes:,} nodes and {arguments.pods:,} pods")
    seconds = loader.ask(f"fill {arguments.nodes} {arguments.pods}", 600)["seconds"]
    events = min(arguments.pods, arguments.replay, _RECORDED)
    _progress(f"created in {seconds:.0f} s; recording {events:,} events")
    replay.ask("lists", 120)
    loader.ask(f"burst {events}", 180)
    sizes = replay.ask(f"events {events}", 120)
    _progress(
        f"recorded, {sizes['bytes_per_event']:,} bytes per event, {sizes['protobuf_bytes_per_event']:,} as protobuf"
    )
    return {name: sizes[name] for name in ("bytes_per_event", "protobuf_bytes_per_event")}


def _kubeconfig(real: Path, port: int, folder: Path) -> Path:
    """The same kubeconfig for the replay server, which has the API server's certificate."""
    config = yaml.safe_load(real.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path = folder / "replay.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def _sentence(found: Figures) -> str:
    return (
        f"RSS {found['rss_mib']:.0f} MiB, sync {found['sync_s']:.1f} s, "
        f"replay {found['cpu_us_per_event']:.0f} µs per event, {found['events_per_s']:,.0f} events/s, "
        f"server {found['served_cpu_us_per_event']:.0f} µs per event"
    )


def _progress(message: str) -> None:
    _console.print(f"{time.monotonic() - _began:6.1f} s  {message}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
