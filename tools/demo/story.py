"""The demo's story: pods wait, the plan is streamed, pods are pinned before any machine exists, machines join."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tools.localcluster.ports import free_ports

from . import faults, planfile, world
from .alone import Alone
from .check import Outcome, verify
from .errors import DemoError
from .events import NodeState, PodState
from .faults import Fault
from .observe import Observer
from .programs import Programs
from .scenario import APPS, CAPACITY, Machine, Replica, bought, plan, replicas
from .stage import Stage
from .targets import OwnCluster, Target

STEP_SECONDS = 120.0
_CREATE_SECONDS = 60.0


class Story:
    """Plays once.

    Args:
        target: the cluster.
        stage: takes what happens.
        fault: what to kill on the way, if anything.
        programs: planner and pinner, when they are to be run in another way than as the target's user; then nothing is
            compared with kube-scheduler.
    """

    def __init__(
        self, target: Target, stage: Stage, fault: Fault | None = None, programs: Programs | None = None
    ) -> None:
        self._target = target
        self._stage = stage
        self._fault = fault
        self._compares = fault is None and programs is None
        self._parts = 5 if self._compares else 3
        self._programs = programs or Programs(target.logs, target.environment, target.flags, target.keep_open)

    async def tell(self) -> Outcome:
        """Play to the end and check it.

        Raises:
            DemoError: a step did not end within its time, or a program has ended.
            KubeError: the API server refused something.
        """
        began = self._stage.elapsed
        async with Transport(self._target.access()) as transport:
            client, observer = Client(transport), Observer(transport, self._stage)
            await world.create(client)
            async with observer.running():
                machines = await self._pending(observer)
                try:
                    async with self._programs_of(machines, client) as fault_is_over:
                        placeholders = await self._pinned(observer, machines)
                        late = await self._joined(observer, machines)
                        await fault_is_over()  # a late one, too, must not change what is checked now
                        outcome = await verify(client, machines, placeholders)
                finally:
                    # Also when interrupted; and after the check, so that nobody tidies up what it looks at.
                    await asyncio.to_thread(self._programs.stop)
                problems = outcome.problems if outcome.problems or not late else (late,)
                seconds = round(self._stage.elapsed - began, 1)
                outcome = dataclasses.replace(outcome, problems=problems, seconds=seconds)
                if self._compares and not problems:
                    alone = await Alone(client, self._stage, machines).play()
                    outcome = dataclasses.replace(outcome, alone=alone)
        return outcome

    async def _phase(self, number: int, caption: str) -> None:
        await self._stage.phase(number, self._parts, caption)

    async def _pending(self, observer: Observer) -> Sequence[Machine]:
        """Wait for all pods, and pack them."""
        total = replicas()
        await self._stage.until(lambda s: len(s.pods) == total, f"{total} pods to be created", _CREATE_SECONDS)
        self._stage.good(f"{len(APPS)} Deployments, {total} pods, all Pending: there is no node for them")
        await self._phase(1, f"{total} pods of {len(APPS)} Deployments wait: there is no node for them.")
        cpu = {app.name: app.cpu for app in APPS}
        found = [
            Replica(app, pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, cpu[app])
            for pod in observer.pods
            if (app := pod.metadata.labels.get("app", "")) in cpu
        ]
        machines = plan(found, prefix=self._target.prefix)
        apps = bought(machines)
        for machine in machines:
            self._stage.promise(
                machine.name,
                capacity=CAPACITY,
                pods=len(machine.pods),
                promised=machine.promised,
                apps=apps[machine.name],
            )
        return machines

    @asynccontextmanager
    async def _programs_of(
        self, machines: Sequence[Machine], client: Client
    ) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Planner and pinner run, are looked after, and one may be killed, while the context lasts.

        Yields:
            What waits until the fault, if there is one, has struck and its victim runs again.
        """
        path = self._target.directory / "plan.yaml"
        planfile.write(path, planfile.document(machines))
        await asyncio.to_thread(self._start_programs, path)
        self._stage.good(f"moorage planner streams a plan of {len(machines)} nodes, moorage pod-pinner follows it")
        async with self._programs.looked_after():
            striking = asyncio.create_task(self._strike(client))
            try:
                yield lambda: striking
            finally:
                striking.cancel()

    def _start_programs(self, path: Path) -> None:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        self._programs.start_planner(path, address)
        self._programs.start_pinner(address)

    async def _strike(self, client: Client) -> None:
        if self._fault is None:
            return
        assert isinstance(self._target, OwnCluster)  # the command line sees to it
        await faults.strike(self._fault, self._stage, self._programs, client, self._target.kill_api_server)

    async def _pinned(self, observer: Observer, machines: Sequence[Machine]) -> dict[str, str]:
        """Wait until every pod is bound to a placeholder; returns these Nodes' uids by name."""
        names, total = {machine.name for machine in machines}, replicas()
        await self._phase(2, "Moorage pins each pod to the node bought for it, before it exists.")
        await self._stage.until(
            lambda s: all(s.nodes[name].state is NodeState.PLACEHOLDER for name in names),
            f"{len(names)} placeholders",
            STEP_SECONDS,
        )
        self._stage.good(f"{len(names)} placeholder Nodes exist, with all their machines will have; no machine does")
        await self._stage.until(
            lambda s: s.pods_in(PodState.PINNED) == total, f"{total} pods to be pinned", STEP_SECONDS
        )
        if self._stage.state.nodes_in(NodeState.JOINING, NodeState.READY):
            raise DemoError("a machine has joined before the pods were pinned, and none was switched on")
        self._stage.good(f"{total} pods pinned, and still no machine")
        return {name: node.metadata.uid for name in names if (node := observer.nodes.get(name)) is not None}

    async def _joined(self, observer: Observer, machines: Sequence[Machine]) -> str:
        """Switch the machines on, one by one, and wait until all runs; returns what did not come, empty if all did."""
        await self._phase(3, "Machines join, take their placeholders, and the pods there start.")
        for index, machine in enumerate(machines, 1):
            await asyncio.to_thread(self._target.switch_on, machine.name)
            observer.switched_on(machine.name)
            if index in (1, len(machines) // 2):
                self._stage.say(f"{machine.name} is switched on ({index} of {len(machines)})")
        total = replicas()
        try:
            await self._stage.until(
                lambda s: s.nodes_in(NodeState.READY) == len(machines) and s.pods_in(PodState.RUNNING) == total,
                f"{len(machines)} machines to be adopted and {total} pods to run",
                STEP_SECONDS,
            )
        except DemoError as error:
            return str(error)
        self._stage.good(f"{len(machines)} machines have joined and adopted their placeholders, {total} pods run")
        return ""
