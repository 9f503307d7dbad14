"""`python -m tools.image.bench`: measures the image: size, time until it serves, memory when idle.

The pinner of the image runs as in a pod (read-only root, uid 65532) against a real API server on loopback. It has no
planner, so it has only its caches, its Lease and the health server. Start-up is the time from the start of its sandbox
(mounts, some hundredths of a second) to the first 200 of /livez, and of /readyz.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich import box
from rich.console import Console
from rich.table import Table

import tools.image as image
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures, medians
from tools.image import archive, inputs, sandbox
from tools.localcluster import ClusterError, ClusterHandle, LocalCluster
from tools.localcluster.ports import free_ports
from tools.toolchain import guard

TARGETS = {"start_s": 1.5, "rss_mib": 80.0, "beyond_base_mb": 150.0}
_TITLES = {
    "start_s": ("exec to /livez", "s"),
    "ready_s": ("exec to /readyz", "s"),
    "rss_mib": ("resident, idle", "MiB"),
    "pss_mib": ("its own share of that", "MiB"),
    "help_s": ("moorage --help", "s"),
    "beyond_base_mb": ("unpacked, beyond the base", "MB"),
    "archive_mb": ("all layers, compressed", "MB"),
}
_OUTPUT = inputs.ROOT / "build/bench/image.json"
_NAMESPACE = "bench-image"
_CRD = inputs.ROOT / "schemas/crds/nodereservations.moorage.dev.yaml"
_console = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. Returns 0 if it has figures (with --check: and all targets are met), else 1."""
    parser = argparse.ArgumentParser(prog="./taskw bench:image --", description="Measures the image.")
    parser.add_argument("--rounds", type=int, default=5, help="starts; medians count")
    parser.add_argument("--idle", type=int, default=20, help="seconds before memory is read")
    parser.add_argument("--check", action="store_true", help="a missed target is an error")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1 or arguments.idle < 0:
        parser.error("--rounds must be at least 1 and --idle not negative")
    guard.interrupt_with_parent()
    try:
        figures = _measure(arguments.rounds, arguments.idle)
    except (BenchError, ClusterError, image.ImageError) as error:
        _console.print(f"bench:image failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:image interrupted, nothing is left running")
        return 130
    missed = [name for name, target in TARGETS.items() if figures[name] > target]
    text = json.dumps({"figures": figures, "targets": TARGETS, "missed": missed}, indent=2) + "\n"
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(text)
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        _show(figures)
    return 1 if missed and arguments.check else 0


def _measure(rounds: int, idle: int) -> Figures:
    made = archive.read(image.ensure())
    sizes = {"beyond_base_mb": made.unpacked_size(slice(1, None)) / 1e6, "archive_mb": made.compressed_size() / 1e6}
    with tempfile.TemporaryDirectory(prefix="moorage-bench-image-") as folder, LocalCluster() as cluster:
        box_ = sandbox.Sandbox(made, Path(folder, "root"))
        shared = Path(folder, "shared")
        _prepare(cluster, shared)
        found = []
        for number in range(rounds):
            found.append(_round(box_, shared, idle if number == rounds - 1 else 1))
            _console.print(f"round {number + 1} of {rounds}: {found[-1]}", markup=False, highlight=False)
    figures = medians(found)
    return figures | {key: found[-1][key] for key in ("rss_mib", "pss_mib")} | sizes  # only the last one was idle


def _prepare(cluster: ClusterHandle, shared: Path) -> None:
    """The definition, a namespace for the Lease, and a kubeconfig that uid 65532 can read."""
    cluster.api.request(
        "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(_CRD.read_text())
    )
    cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    shared.mkdir(mode=0o755)
    for entry in config["clusters"]:
        authority = entry["cluster"].pop("certificate-authority", None)
        if authority is not None:
            (shared / "ca.crt").write_bytes(Path(authority).read_bytes())
            entry["cluster"]["certificate-authority"] = f"{sandbox.SHARED}/ca.crt"
    (shared / "kubeconfig").write_text(yaml.safe_dump(config))
    for path in shared.iterdir():
        path.chmod(0o644)  # an administrator of a cluster that lives for this run, on loopback


def _round(box_: sandbox.Sandbox, shared: Path, idle: int) -> Figures:
    """Start it once. Returns its figures after some seconds."""
    began = time.perf_counter()
    helped = box_.run("--help")
    help_s = time.perf_counter() - began
    if helped.returncode:
        raise BenchError(f"moorage --help failed inside the image: {helped.stderr[-500:]}")
    (health, planner) = free_ports(2)
    environ = {
        "MOORAGE_KUBECONFIG": f"{sandbox.SHARED}/kubeconfig",
        "MOORAGE_NAMESPACE": _NAMESPACE,
        "MOORAGE_POD_NAME": "bench-image-0",
        "MOORAGE_PLANNER_ADDRESS": f"127.0.0.1:{planner}",  # nothing listens there: it retries, slower and slower
        "MOORAGE_PLANNER_PLAINTEXT": "true",
        "MOORAGE_HEALTH_ADDRESS": f"127.0.0.1:{health}",
        "MOORAGE_LOG_FORMAT": "json",
    }
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = box_.spawn(["pod-pinner"], environ, shared, log.fileno())
        try:
            start_s = _until_ok(process, f"http://127.0.0.1:{health}/livez", began)
            ready_s = _until_ok(process, f"http://127.0.0.1:{health}/readyz", began)
            time.sleep(idle)
            rollup = _rollup(guard.program(process))
        except BenchError as error:
            log.seek(0)
            raise BenchError(f"{error}\n{log.read().decode(errors='replace')[-1500:]}") from None
        finally:
            guard.end(process)
    return {"start_s": start_s, "ready_s": ready_s, "help_s": help_s, **rollup}


def _until_ok(process: subprocess.Popen[bytes], url: str, began: float) -> float:
    while time.perf_counter() - began < 60:
        if process.poll() is not None:
            raise BenchError(f"the pinner exited with code {process.returncode}; its last lines:")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http on loopback
                if answer.status == 200:
                    return time.perf_counter() - began
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.01)
    raise BenchError(f"{url} did not answer 200 within a minute; the pinner's last lines:")


def _rollup(pid: int) -> Figures:
    """Memory of a process in MiB (Linux: proc(5), smaps_rollup)."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) / 1024
    return {"rss_mib": round(fields["Rss"], 1), "pss_mib": round(fields["Pss"], 1)}


def _show(figures: Figures) -> None:
    table = Table(title=f"{image.name()}; medians", box=box.SIMPLE)
    for column in ("", "measured", "target"):
        table.add_column(column, justify="left" if not column else "right")
    for name, (title, unit) in _TITLES.items():
        target = TARGETS.get(name)
        style = "red" if target is not None and figures[name] > target else None
        table.add_row(
            title, f"{figures[name]:.2f} {unit}", "" if target is None else f"≤ {target:g} {unit}", style=style
        )
    Console().print(table)
    _console.print(f"{_OUTPUT.relative_to(inputs.ROOT)} written")


if __name__ == "__main__":
    sys.exit(main())
