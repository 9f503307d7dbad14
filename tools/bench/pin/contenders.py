"""The measurements: each prepares the scene, runs a contender, and checks the result."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tools.bench.common.errors import BenchError
from tools.bench.common.figures import Figures
from tools.bench.common.usage import Window, usage
from tools.bench.pin import issuer, plan
from tools.bench.pin.audit import AuditLog, Bindings
from tools.bench.pin.installation import Installation
from tools.bench.pin.programs import Line, Pinner, Planner, Program
from tools.bench.pin.scene import Scene, Target
from tools.localcluster import LocalCluster
from tools.localcluster.components import API_SERVER, ETCD, SCHEDULER
from tools.localcluster.ports import free_ports
from tools.toolchain import guard

_PATIENCE = 180.0
_REST = 2.0
_EDGE = 0.25
"""The bucket boundary, in seconds, that the pinner's histogram and the target share."""


@dataclass(frozen=True)
class Stage:
    """The objects that all measurements share.

    Attributes:
        cluster: the control plane, without kube-scheduler.
        scene: creates and removes its objects.
        audit: its audit log.
        folder: for logs; removed with the cluster.
        shared: a folder in it that Moorage's programs can read.
        kubeconfig: of all contenders' account, in the shared folder.
        installation: how Moorage is run.
        nodes: number of nodes to bind to.
        pods: number of pods to bind at once.
        binder: path of the client-go program.
    """

    cluster: LocalCluster
    scene: Scene
    audit: AuditLog
    folder: Path
    shared: Path
    kubeconfig: Path
    installation: Installation
    nodes: int
    pods: int
    binder: Path

    def window(self, **pids: int) -> Window:
        """Measure CPU from now on: of the API server, etcd and these processes."""
        server, etcd = (self.cluster.component_pid(name) for name in (API_SERVER, ETCD))
        return Window({"server": server, "etcd": etcd, **pids})

    def pinner(self, address: str) -> Pinner:
        """A pod pinner that is not started yet."""
        return Pinner(self.installation, self.kubeconfig, address, self.folder)

    def binding(self, argv: Sequence[str]) -> Program:
        """The client-go program, not started yet."""
        return Program("binder", lambda log: guard.spawn(argv, cwd=self.folder, env={}, stdout=log), self.folder)


async def ceiling(stage: Stage, *, in_flight: int) -> Figures:
    """client-go that only binds."""
    targets = await stage.scene.fill(waiting=stage.pods, over=stage.nodes, nodes=stage.nodes)
    listed = stage.folder / "pods.txt"
    listed.write_text("".join(f"bench {each.name} {each.uid} {each.node}\n" for each in targets))
    argv = [str(stage.binder), f"--kubeconfig={stage.kubeconfig}", f"--pods={listed}"]
    await asyncio.sleep(_REST)
    stage.audit.skip()
    answer: Line = {}

    def said(line: Line) -> bool:
        answer.update(line)
        return True

    window = stage.window()
    with stage.binding([*argv, f"--in-flight={in_flight}"]) as binder:
        await binder.until(said, "all pods to be bound", _PATIENCE)
    spent = window.cpu()
    spent["others"] -= answer["cpu_s"] / answer["elapsed_s"]  # it has exited, so its CPU is included
    bound = _all_bound(stage, len(targets))
    _check_placed(stage, targets)
    return _figures(bound, bound.first, spent, cpu=answer["cpu_s"], peak=answer["peak_kib"] / 1024)


async def scheduler(stage: Stage) -> Figures:
    """kube-scheduler, started when all pods are pending."""
    targets = await stage.scene.fill(waiting=stage.pods, over=stage.nodes, nodes=stage.nodes)
    _same_account(stage)
    await asyncio.sleep(_REST)
    stage.audit.skip()
    await asyncio.to_thread(stage.cluster.restart, SCHEDULER)
    try:
        pid = stage.cluster.component_pid(SCHEDULER)
        window = stage.window(scheduler=pid)
        deadline = time.monotonic() + _PATIENCE
        while (bound := stage.audit.bindings()).count < len(targets):  # requests to the API server would slow it down
            if time.monotonic() > deadline:
                raise BenchError(f"kube-scheduler bound {bound.count} of {len(targets)} pods in {_PATIENCE:g} s")
            await asyncio.sleep(1)
        spent = window.cpu()
        await stage.audit.rest()
        used = usage(pid)
    finally:
        stage.cluster.kill(SCHEDULER)
    return _figures(bound, bound.first, spent, cpu=used.cpu_s, peak=used.peak_mib)


def _same_account(stage: Stage) -> None:
    """Set the kubeconfig of all contenders for kube-scheduler, which does not run yet and has a certificate by default.

    Raises:
        BenchError: the cluster starts it with another file.
    """
    own = stage.cluster.directory / "scheduler.kubeconfig"
    if not own.exists():
        raise BenchError(f"kube-scheduler is no longer started with {own}: change the path in contenders.py")
    shutil.copy(stage.kubeconfig, own)


async def moorage(stage: Stage, *, steady: int, rate: float) -> Figures:
    """Planner and pod pinner: all pods at once from a plan file, then more pods singly at a steady rate."""
    targets = await stage.scene.fill(waiting=stage.pods, over=stage.nodes)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with stage.pinner(address) as pinner:
        await pinner.started()
        found = await _burst(stage, pinner, targets, address)
        pinner.lag_ms()
        more = await stage.scene.add(waiting=steady + 1, over=stage.nodes, first=stage.pods)
        found |= await _steady(stage, pinner, more, address, rate)
        _check_placed(stage, targets + more)
        return found | {"rss_mib": usage(pinner.pid).peak_mib, "lag_ms": pinner.lag_ms()}


async def _burst(stage: Stage, pinner: Pinner, targets: Sequence[Target], address: str) -> Figures:
    file = stage.shared / "plan.yaml"
    plan.write(file, plan.nodes(stage.nodes))
    with Planner(stage.installation, file, address, stage.folder) as planner:
        await planner.until(_all_applied(stage.nodes), "all placeholders", _PATIENCE)
        await stage.scene.leases(stage.nodes)
        await stage.audit.rest()
        stage.audit.skip()
        pinner.lag_ms()  # of the start of the term, too
        before, planned = usage(pinner.pid), usage(planner.pid)
        plan.write(file, plan.pins(targets))
        began = _Began()
        await planner.until(began, "the plan of pins", _PATIENCE)
        window = stage.window(pinner=pinner.pid, planner=planner.pid)
        await planner.until(_all_applied(stage.nodes), "all pins", _PATIENCE)
        spent = window.cpu()
        await stage.audit.rest()
        after, planning = usage(pinner.pid), usage(planner.pid)
    bound = _all_bound(stage, len(targets))
    figures = _figures(bound, began.moment, spent, cpu=after.cpu_s - before.cpu_s, peak=after.peak_mib)
    return figures | {
        "first_bound_s": bound.first - began.moment,
        "cpu_before_s": before.cpu_s,
        "planner_cpu_s": planning.cpu_s - planned.cpu_s,
        "burst_cpu_us_per_pin": spent["pinner"] / len(targets) * 1e6,
        "burst_planner_cpu_us_per_pin": spent["planner"] / len(targets) * 1e6,
    }


async def _steady(stage: Stage, pinner: Pinner, targets: Sequence[Target], address: str, rate: float) -> Figures:
    """The first pod only shows that the pinner has connected to its new planner: it retries every few seconds."""
    first, *measured = issuer.single_pins(targets)
    async with issuer.issuer(address) as planner:
        await planner.applied(planner.issue([first]), _PATIENCE)
        await stage.audit.rest()
        counted, before = pinner.metrics(), usage(pinner.pid)
        ids = await planner.paced(measured, rate)
        seconds = sorted(await planner.applied(ids, _PATIENCE))
        used = usage(pinner.pid).cpu_s - before.cpu_s
        metrics = pinner.metrics()
    name = "moorage_pinner_pin_latency_seconds"
    within, every = (
        metrics[key] - counted.get(key, 0.0) for key in (f'{name}_bucket{{le="{_EDGE}"}}', f"{name}_count")
    )
    return {
        "p50_ms": 1000 * percentile(seconds, 50),
        "p99_ms": 1000 * percentile(seconds, 99),
        "max_ms": 1000 * seconds[-1],
        "within_250_ms": within / every if every else 0.0,
        "steady_cpu_us_per_pin": used / len(measured) * 1e6,
    }


async def grown(stage: Stage, *, running: int, pins: int, per_node: int = 10) -> Figures:
    """A pod pinner with this many running pods in its cache: its memory, and the cost of a pin."""
    over = -(-pins // per_node)
    targets = await stage.scene.fill(waiting=pins, over=over, running=running)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with stage.pinner(address) as pinner:
        await pinner.started()
        async with issuer.issuer(address) as planner:
            await planner.applied(planner.issue(issuer.placeholders(over)), _PATIENCE)
            pinner.lag_ms()
            await stage.scene.leases(over)
            await stage.audit.rest()
            before = usage(pinner.pid)
            await planner.applied(planner.issue(issuer.pins(targets)), _PATIENCE)
            await stage.audit.rest()
            after = usage(pinner.pid)
        _check_placed(stage, targets)
        lag = pinner.lag_ms()
    return {
        "lag_ms": lag,
        "cpu_us_per_pin": (after.cpu_s - before.cpu_s) / pins * 1e6,
        "rss_mib": after.rss_mib,
        "peak_mib": after.peak_mib,
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ordered values."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class _Began:
    """Records the time at which the planner begins to serve the plan of pins."""

    def __init__(self) -> None:
        self.moment = 0.0

    def __call__(self, line: Line) -> bool:
        if line.get("event") == "plan-broken":
            raise BenchError(f"the planner does not take the benchmark's plan: {line['error']}")
        if line.get("event") != "serving":
            return False
        self.moment = datetime.fromisoformat(line["time"]).timestamp()
        return True


def _all_applied(count: int) -> Callable[[Line], bool]:
    """Counts applied instructions. Another outcome ends the benchmark."""
    left = count

    def seen(line: Line) -> bool:
        nonlocal left
        if line.get("event") == "acknowledged" and line["outcome"] != "accepted":
            if line["outcome"] != "applied":
                raise BenchError(f"{line['action']} on {line['node']}: {line['outcome']}: {line['sentence']}")
            left -= 1
        return left == 0

    return seen


def _all_bound(stage: Stage, count: int) -> Bindings:
    found = stage.audit.bindings()
    if found.count != count:
        raise BenchError(f"{found.count} pods were bound instead of {count}")
    return found


def _check_placed(stage: Stage, targets: Sequence[Target]) -> None:
    """Check that every pod is on its planned node.

    Raises:
        BenchError: a pod is not.
    """
    placed = stage.scene.placed()
    wrong = [each.name for each in targets if placed.get(each.name) != each.node]
    if wrong:
        raise BenchError(f"{len(wrong)} pods are not on their planned nodes, the first is {wrong[0]}")


def _figures(bound: Bindings, began: float, spent: Mapping[str, float], *, cpu: float, peak: float) -> Figures:
    """The figures of every contender.

    Args:
        bound: the bindings in the audit log.
        began: start of its time, seconds since 1970.
        spent: CPU seconds during the bindings, by process; and cores that other processes used.
        cpu: its own CPU seconds, work after the last binding included.
        peak: its peak memory, MiB.
    """
    return {
        "per_s": bound.count / (bound.last - began),
        "cpu_s": cpu,
        "peak_mib": peak,
        "writes_per_pod": sum(bound.writes.values()) / bound.count,
        "server_cpu_s": spent["server"] + spent["etcd"],
        "others_cores": spent["others"],
    }
