"""One measurement each: the scene is set, the contender works, what it did is checked."""

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
from tools.bench.pin import issuer, plan
from tools.bench.pin.audit import AuditLog, Bindings
from tools.bench.pin.installation import Installation
from tools.bench.pin.programs import Line, Pinner, Planner, Program
from tools.bench.pin.scene import Scene, Target
from tools.bench.pin.usage import Window, usage
from tools.localcluster import LocalCluster
from tools.localcluster.components import API_SERVER, ETCD, SCHEDULER
from tools.localcluster.ports import free_ports
from tools.toolchain import guard

_PATIENCE = 180.0
_REST = 2.0
_EDGE = 0.25
"""Seconds of the largest latency that the pinner's histogram and the target have in common."""


@dataclass(frozen=True)
class Stage:
    """What all measurements share.

    Attributes:
        cluster: the control plane; its kube-scheduler does not run.
        scene: fills it.
        audit: its log.
        folder: for logs; goes with the cluster.
        shared: what Moorage's programs read; a folder in it.
        kubeconfig: whom all contenders are to the API server; in the shared folder.
        installation: what Moorage is run from.
        nodes: how many are bound to.
        pods: how many are bound in one go.
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
        """Counts CPU from now on: the API server's, etcd's and that of these processes."""
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
    spent["others"] -= answer["cpu_s"] / answer["elapsed_s"]  # it has ended, so it was counted among them
    bound = _all_bound(stage, len(targets))
    _check_placed(stage, targets)
    return _figures(bound, bound.first, spent, cpu=answer["cpu_s"], peak=answer["peak_kib"] / 1024)


async def scheduler(stage: Stage) -> Figures:
    """kube-scheduler, started when all pods wait."""
    targets = await stage.scene.fill(waiting=stage.pods, over=stage.nodes, nodes=stage.nodes)
    _same_account(stage)
    await asyncio.sleep(_REST)
    stage.audit.skip()
    await asyncio.to_thread(stage.cluster.restart, SCHEDULER)
    try:
        pid = stage.cluster.component_pid(SCHEDULER)
        window = stage.window(scheduler=pid)
        deadline = time.monotonic() + _PATIENCE
        while (bound := stage.audit.bindings()).count < len(targets):  # asking the API server would slow it down
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
    """Give kube-scheduler, while it does not run, the kubeconfig of all others: the cluster made it a certificate.

    Raises:
        BenchError: the cluster starts it with another file.
    """
    own = stage.cluster.directory / "scheduler.kubeconfig"
    if not own.exists():
        raise BenchError(f"kube-scheduler is not started with {own} any more: say in contenders.py with what it is")
    shutil.copy(stage.kubeconfig, own)


async def moorage(stage: Stage, *, steady: int, rate: float) -> Figures:
    """Planner and pod pinner: all pods at once from a plan file, then some more one by one at a steady rate."""
    targets = await stage.scene.fill(waiting=stage.pods, over=stage.nodes)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with stage.pinner(address) as pinner:
        await pinner.started()
        found = await _burst(stage, pinner, targets, address)
        more = await stage.scene.add(waiting=steady + 1, over=stage.nodes, first=stage.pods)
        found |= await _steady(stage, pinner, more, address, rate)
        _check_placed(stage, targets + more)
        return found | {"rss_mib": usage(pinner.pid).peak_mib}


async def _burst(stage: Stage, pinner: Pinner, targets: Sequence[Target], address: str) -> Figures:
    file = stage.shared / "plan.yaml"
    plan.write(file, plan.nodes(stage.nodes))
    with Planner(stage.installation, file, address, stage.folder) as planner:
        await planner.until(_all_applied(stage.nodes), "all placeholders", _PATIENCE)
        await stage.scene.leases(stage.nodes)
        await stage.audit.rest()
        stage.audit.skip()
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
    """The first pod only shows that the pinner has found its new planner: it tries every few seconds."""
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
    """A pod pinner that knows so many running pods: its memory, and what a pin costs it."""
    over = -(-pins // per_node)
    targets = await stage.scene.fill(waiting=pins, over=over, running=running)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with stage.pinner(address) as pinner:
        async with issuer.issuer(address) as planner:
            await planner.applied(planner.issue(issuer.placeholders(over)), _PATIENCE)
            await stage.scene.leases(over)
            await stage.audit.rest()
            before = usage(pinner.pid)
            await planner.applied(planner.issue(issuer.pins(targets)), _PATIENCE)
            await stage.audit.rest()
            after = usage(pinner.pid)
        _check_placed(stage, targets)
    return {
        "cpu_us_per_pin": (after.cpu_s - before.cpu_s) / pins * 1e6,
        "rss_mib": after.rss_mib,
        "peak_mib": after.peak_mib,
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of some ordered values."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class _Began:
    """Notices when the planner began to serve the plan of pins."""

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
    """Counts instructions that were applied; one that was not ends the benchmark."""
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
    """See that every pod is where it was meant to be.

    Raises:
        BenchError: one is not.
    """
    placed = stage.scene.placed()
    wrong = [each.name for each in targets if placed.get(each.name) != each.node]
    if wrong:
        raise BenchError(f"{len(wrong)} pods are not where they were meant to be, the first is {wrong[0]}")


def _figures(bound: Bindings, began: float, spent: Mapping[str, float], *, cpu: float, peak: float) -> Figures:
    """What every contender is measured by.

    Args:
        bound: what the audit log says.
        began: when its time began, seconds since 1970.
        spent: CPU seconds while it bound, by process; cores that others used.
        cpu: its own CPU seconds, what it did afterwards included.
        peak: the MiB it had at most.
    """
    return {
        "per_s": bound.count / (bound.last - began),
        "cpu_s": cpu,
        "peak_mib": peak,
        "writes_per_pod": sum(bound.writes.values()) / bound.count,
        "server_cpu_s": spent["server"] + spent["etcd"],
        "others_cores": spent["others"],
    }
