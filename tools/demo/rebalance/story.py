"""The rebalancing story: half-empty nodes, fewer new ones, and drains that survive the kill of the pinner's leader."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tools.demo import planfile as files
from tools.demo.common.environment import kept_environment
from tools.demo.common.events import Mark
from tools.demo.common.pods import watch_floors
from tools.demo.common.programs import Processes
from tools.demo.common.stage import Stage
from tools.demo.common.workloads import PodState
from tools.demo.errors import DemoError
from tools.demo.programs import PINNER, PLANNER
from tools.demo.scenario import CAPACITY
from tools.localcluster import LocalCluster
from tools.localcluster.ports import free_ports

from . import account, planfile, settings, world
from .check import Outcome, Planner, verify
from .events import Coming, Going, Killed, Planned
from .observe import Observer
from .scenario import Scenario
from .state import State

STEP_SECONDS = 120.0
DRAIN_SECONDS = 300.0


class Story:
    """Runs the story once.

    Args:
        cluster: a control plane without objects.
        stage: receives the events.
        scenario: the nodes and workloads.
    """

    def __init__(self, cluster: LocalCluster, stage: Stage[State], scenario: Scenario) -> None:
        self._cluster, self._stage, self._scenario = cluster, stage, scenario
        self._replicas = {each.name: each for each in settings.replicas()}
        self._programs = Processes(cluster.logs, kept_environment())

    async def tell(self) -> Outcome:
        """Run the story to its end, and check it.

        Raises:
            DemoError: a step did not end in time, or a program exited.
            KubeError: the API server refused a request.
        """
        began = self._stage.elapsed
        async with Transport(credentials.load(self._cluster.kubeconfig)) as transport:
            client = Client(transport)
            await world.prepare(client)
            replicas = {each.url: name for name, each in self._replicas.items()}
            observer = Observer(transport, self._stage, self._scenario, replicas)
            async with observer.running():
                await self._settled(client)
                try:
                    outcome = await self._rebalanced(client, observer)
                finally:
                    await asyncio.to_thread(self._programs.stop)
        return dataclasses.replace(outcome, seconds=round(self._stage.elapsed - began, 1))

    async def _rebalanced(self, client: Client, observer: Observer) -> Outcome:
        """The steps from the plan on."""
        await self._start_programs()
        async with self._programs.looked_after():
            placeholders = await self._promised(observer)
            await self._joined(observer)
            await self._killed()
            planner = await self._done()
            return await verify(client, self._stage.state, self._scenario, placeholders, planner)

    # --- the steps ---

    async def _settled(self, client: Client) -> None:
        """Start the old nodes, and create their pods."""
        scenario, count = self._scenario, len(self._scenario.old)
        self._stage.say(f"{count} hollow nodes join: real kubelets whose containers do nothing")
        for name in scenario.old:
            await asyncio.to_thread(self._cluster.start_hollow_kubelet, name)

        await self._stage.until(
            lambda s: sum(node.ready for node in s.old.values()) == count, f"{count} nodes to be Ready", STEP_SECONDS
        )
        await world.populate(client, scenario)
        ready, waiting = scenario.pods - scenario.trainer.replicas, scenario.trainer.replicas

        def as_wanted(state: State) -> bool:
            healthy = all(
                state.healthy.get(app.name) == app.replicas for app in scenario.apps if app.budget is not None
            )
            return healthy and (state.pods_in(PodState.READY), state.pods_in(PodState.PENDING)) == (ready, waiting)

        await self._stage.until(as_wanted, f"{ready} pods to be Ready", STEP_SECONDS)
        watch_floors(self._stage, scenario.apps)
        self._stage.good(
            f"{count} nodes, {len(scenario.apps)} Deployments with {ready} pods; {waiting} pods more wait for a GPU"
        )

    async def _start_programs(self) -> None:
        """Start a planner with the plan, and two replicas of the pinner."""
        path, address = self._cluster.directory / "plan.yaml", f"127.0.0.1:{free_ports(1)[0]}"
        files.write(path, planfile.document(self._scenario))
        for target in self._scenario.targets:
            at, slots = self._stage.elapsed, sum(target.slots.values())
            self._stage.take(Planned(at=at, node=target.name, cpu=CAPACITY, slots=slots, devices=target.devices))
        pinner, planner = await asyncio.to_thread(self._accounts)
        self._programs.start(PLANNER, settings.planner_flags(planner, path, address), ends=True)
        for name, replica in self._replicas.items():
            self._programs.start(name, replica.flags(pinner, address), PINNER)
        old, new = len(self._scenario.old), len(self._scenario.targets)
        self._stage.good(
            f"moorage planner has a plan: {old} nodes go, {new} come; two replicas of the pod pinner follow it"
        )

    def _accounts(self) -> tuple[Path, Path]:
        return account.pinner(self._cluster), account.planner(self._cluster)

    async def _promised(self, observer: Observer) -> Mapping[str, str]:
        """Wait until all new nodes are promised. Returns uids of the placeholders by name."""
        names = [target.name for target in self._scenario.targets]

        def held(state: State) -> bool:
            return len(state.new_in(Coming.PLACEHOLDER)) == len(names) and state.webhook == state.leader != ""

        await self._stage.until(held, f"{len(names)} placeholders and the webhook", STEP_SECONDS)
        leader = self._stage.state.leader
        self._stage.good(
            f"{len(names)} placeholders hold {self._scenario.slots} slots; {leader} leads, and its webhook is asked"
        )
        return {name: node.metadata.uid for name in names if (node := observer.nodes.get(name)) is not None}

    async def _joined(self, observer: Observer) -> None:
        """Start the new machines, and wait until the pods that request devices run."""
        for target in self._scenario.targets:
            await asyncio.to_thread(world.switch_on, self._cluster, target)
            observer.switched_on(target.name)
        trainer = self._scenario.trainer
        new = len(self._scenario.targets)
        await self._stage.until(lambda s: len(s.new_in(Coming.READY)) == new, f"{new} nodes to join", STEP_SECONDS)
        self._stage.good(f"{new} machines have joined")
        await self._stage.until(
            lambda s: s.ready(trainer.name) == trainer.replicas, f"{trainer.replicas} pods with GPUs", STEP_SECONDS
        )
        watch_floors(self._stage, [trainer])
        self._stage.good(f"{trainer.replicas} pods with GPUs run: nominated by the pinner, placed by the scheduler")

    async def _killed(self) -> None:
        """Kill the leader in the middle of the drains, and start it again once another replica leads."""
        quarter = len(self._scenario.old) // 4

        def in_the_middle(state: State) -> bool:
            return len(state.old_in(Going.EMPTY)) >= quarter and len(state.old_in(Going.DRAINING)) > 0

        await self._stage.until(lambda s: bool(s.old_in(Going.DRAINING)), "a node to be drained", STEP_SECONDS)
        self._stage.say("the planner empties old nodes: their pods are evicted as far as floors and budgets let it")
        await self._stage.until(in_the_middle, "the middle of the drains", DRAIN_SECONDS)
        state, leader = self._stage.state, self._stage.state.leader
        self._stage.take(Killed(at=self._stage.elapsed, replica=leader))
        await asyncio.to_thread(self._programs.kill, leader)
        empty, draining = len(state.old_in(Going.EMPTY)), len(state.old_in(Going.DRAINING))
        self._stage.say(f"kill -9 of {leader}, with {empty} nodes empty and {draining} half drained", Mark.BAD)
        await self._stage.until(lambda s: s.took_over is not None, "another replica to lead", STEP_SECONDS)
        await self._stage.until(lambda s: s.served_again is not None, "its webhook to be asked", STEP_SECONDS)
        assert state.takeover is not None
        self._stage.good(
            f"{state.leader} leads, {state.takeover:.1f} s after the kill, and its webhook is asked; drains go on"
        )
        await asyncio.to_thread(self._programs.start_again, leader)

    async def _done(self) -> Planner:
        """Wait until the planner has exited and everything runs. The verdict names what did not happen."""
        code = await self._programs.ended(PLANNER, DRAIN_SECONDS)
        planner = Planner.read(code, self._programs.log(PLANNER).read_text())
        total = self._scenario.pods
        try:
            await self._stage.until(
                lambda s: s.pods_in(PodState.READY) == len(s.pods) == total, f"{total} pods to be Ready", STEP_SECONDS
            )
        except DemoError as error:
            return dataclasses.replace(planner, late=str(error))
        return planner
