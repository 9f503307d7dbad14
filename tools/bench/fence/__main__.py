"""`python -m tools.bench.fence`: run the benchmark, show the table, write build/bench/fence.json."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.console import Console

from moorage.kube import credentials, errors
from moorage.kube.http.transport import Transport
from tools.bench.common import tables
from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures, medians
from tools.bench.common.usage import usage
from tools.localcluster import ClusterError, ClusterOptions, LocalCluster
from tools.localcluster.state import ClusterState
from tools.toolchain import ToolError, ensure

NAMESPACE, NODE = "castai-agent", "bench"
CHART = Path("charts/castai-pod-pinner")
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"
PLUGIN = {'name="ValidatingAdmissionPolicy"', 'operation="UPDATE"', 'type="validate"'}
PATIENCE = 60.0
_OUTPUT = Path("build/bench/fence.json")
_console = Console(stderr=True)


def main() -> int:
    """Run the benchmark. Returns 0 if it has figures, else 1."""
    arguments = _arguments()
    try:
        with LocalCluster(options=ClusterOptions(scheduler=False)) as cluster:
            rounds = asyncio.run(Bench(cluster, arguments.requests).run(arguments.rounds))
    except (BenchError, ClusterError, ToolError, errors.KubeError) as error:
        _console.print(f"bench:fence failed: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        _console.print("bench:fence interrupted, nothing is left running")
        return 130
    middle = medians(rounds)
    text = json.dumps({"medians": middle, "rounds": rounds}, indent=2) + "\n"
    _OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    _OUTPUT.write_text(text)
    if arguments.output == "json":
        sys.stdout.write(text)
    else:
        title = f"{arguments.rounds} rounds of {arguments.requests} requests each, {os.cpu_count()} cores; medians"
        tables.show(title, ("", "without", "with", "ratio"), _lines(middle))
    _console.print(f"{_OUTPUT} written")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./taskw bench:fence --", description="Measures the cost of the admission policies for others."
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--requests", type=int, default=1000, metavar="N", help="requests of each kind and half (1000)")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json")
    return parser.parse_args()


def _lines(middle: Figures) -> Sequence[Sequence[str]]:
    found = []
    for what in ("status", "lease"):
        for part, title in (
            ("p50_ms", "p50, ms"),
            ("cpu_ms", "API server's CPU, ms"),
            ("plugin_us", "in the plugin, mean, µs"),
        ):
            without, with_ = (middle[f"{half}_{what}_{part}"] for half in ("without", "with"))
            found.append((f"{what}: {title}", f"{without:.2f}", f"{with_:.2f}", f"{with_ / without:.2f}"))
    return found


class Bench:
    """Writes like a kubelet.

    Args:
        cluster: a control plane without other clients.
        requests: number of requests of each kind in each half of a round.
    """

    def __init__(self, cluster: LocalCluster, requests: int) -> None:
        self._cluster = cluster
        self._requests = requests
        self._objects = _policies()

    async def run(self, rounds: int) -> list[Figures]:
        """The figures of each round."""
        api = self._cluster.api
        api.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}, "status": _status()})
        for policy in (each for each in self._objects if each["kind"] == "ValidatingAdmissionPolicy"):
            api.request("POST", POLICIES, policy)
        kubelet = self._kubeconfig(f"system:node:{NODE}", "system:nodes")
        pinner = self._kubeconfig(f"system:serviceaccount:{NAMESPACE}:castai-pod-pinner", "system:masters")
        async with (
            Transport(credentials.load(kubelet)) as self._kubelet,
            Transport(credentials.load(pinner)) as self._pinner,
        ):
            lease = {"metadata": {"name": NODE}, "spec": {"holderIdentity": NODE, "leaseDurationSeconds": 40}}
            self._lease = await self._kubelet.request("POST", LEASE.rpartition("/")[0], body=json.dumps(lease).encode())
            await self._half()  # warm-up
            return [await self._round(number) for number in range(rounds)]

    def _kubeconfig(self, user: str, group: str) -> Path:
        config = yaml.safe_load(self._cluster.kubeconfig.read_text())
        for each in config["users"]:
            each["user"] |= {"as": user, "as-groups": [group]}
        path = self._cluster.directory / f"{group.replace(':', '-')}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    async def _round(self, number: int) -> Figures:
        _console.print(f"round {number + 1}")
        without = await self._half()
        bindings = [each for each in self._objects if each["kind"] == "ValidatingAdmissionPolicyBinding"]
        for each in bindings:
            self._cluster.api.request("POST", BINDINGS, each)
        await self._until(refused=True)
        with_ = await self._half()
        for each in bindings:
            self._cluster.api.request("DELETE", f"{BINDINGS}/{each['metadata']['name']}")
        await self._until(refused=False)
        halves = {"without": without, "with": with_}
        return {f"{half}_{what}": figure for half, figures in halves.items() for what, figure in figures.items()}

    async def _until(self, *, refused: bool) -> None:
        """Wait until the API server enforces the two policies, or no longer does."""
        leases = LEASE.rpartition("/")[0]
        for path in ("/api/v1/nodes", leases):
            end = time.monotonic() + PATIENCE
            while await self._is_refused(path) is not refused:
                if time.monotonic() > end:
                    raise BenchError(f"waited {PATIENCE:g} s for the API server to take notice of the policies")
                await asyncio.sleep(0.1)

    async def _is_refused(self, path: str) -> bool:
        body = json.dumps({"metadata": {"name": "forbidden"}}).encode()
        try:
            await self._pinner.request("POST", path, query={"dryRun": "All"}, body=body)
        except errors.Forbidden:
            return True
        return False

    async def _half(self) -> Figures:
        figures: Figures = {}
        for what, write in (("status", self._write_status), ("lease", self._renew)):
            sum_before, count_before = await self._plugin()
            cpu_before = self._cpu()
            figures[f"{what}_p50_ms"] = median(await _timed(write, self._requests)) * 1000
            figures[f"{what}_cpu_ms"] = (self._cpu() - cpu_before) / self._requests * 1000
            sum_after, count_after = await self._plugin()
            figures[f"{what}_plugin_us"] = (sum_after - sum_before) / (count_after - count_before) * 1e6
        return figures

    def _cpu(self) -> float:
        state = ClusterState.read(self._cluster.directory)
        assert state is not None, "a running cluster has a state file"
        return usage(state.components["kube-apiserver"].pid).cpu_s

    async def _plugin(self) -> tuple[float, float]:
        """The seconds of updates in the admission plugin of policies so far, and their number."""
        text = (await self._pinner.request("GET", "/metrics")).decode()
        found = {}
        for part in ("sum", "count"):
            metric = f"apiserver_admission_controller_admission_duration_seconds_{part}{{"
            lines = [line for line in text.splitlines() if line.startswith(metric) and set(_labels(line)) >= PLUGIN]
            found[part] = sum(float(line.rpartition(" ")[2]) for line in lines)
        return found["sum"], found["count"]

    async def _write_status(self) -> None:
        path = f"/api/v1/nodes/{NODE}/status"
        body = json.dumps({"status": {"conditions": _conditions()}}).encode()
        await self._kubelet.request("PATCH", path, body=body, content_type="application/strategic-merge-patch+json")

    async def _renew(self) -> None:
        lease = json.loads(self._lease)
        lease["spec"]["renewTime"] = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._lease = await self._kubelet.request("PUT", LEASE, body=json.dumps(lease).encode())


async def _timed(write: Callable[[], Awaitable[None]], count: int) -> list[float]:
    found = []
    for _ in range(count):
        began = time.perf_counter()
        await write()
        found.append(time.perf_counter() - began)
    return found


def _labels(line: str) -> list[str]:
    return line.partition("{")[2].rpartition("}")[0].split(",")


def _policies() -> list[dict[str, Any]]:
    """The objects of the chart.

    Raises:
        BenchError: Helm cannot render it.
        ToolError: Helm is not available.
    """
    helm = str(ensure(["helm"])["helm"])
    command = [
        helm,
        "template",
        CHART.name,
        str(CHART),
        "-n",
        NAMESPACE,
        "--show-only",
        "templates/admissionpolicy.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": os.devnull})
    if done.returncode:
        raise BenchError(f"helm template: {done.stderr.strip()}")
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _conditions() -> list[Mapping[str, str]]:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return [
        {"type": kind, "status": "False", "reason": f"Kubelet{kind}", "message": "as ever", "lastHeartbeatTime": now}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]


def _status() -> dict[str, Any]:
    """The conditions that a kubelet reports."""
    room = {"cpu": "4", "memory": "16Gi", "pods": "110"}
    texts = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion")
    more = ("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture")
    image = "registry.example.com/team/program-{n}@sha256:" + "0123456789abcdef" * 4
    return {
        "capacity": room,
        "allocatable": room,
        "nodeInfo": dict.fromkeys((*texts, *more), "v1.36.3"),
        "images": [{"names": [image.format(n=n), f"program-{n}:1"], "sizeBytes": 10_000_000} for n in range(50)],
    }


if __name__ == "__main__":
    sys.exit(main())
