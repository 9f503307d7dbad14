"""Rebalancings: the state of new nodes, what holds old nodes, and whole rebalancings in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from moorage.drain import Settings, Stance
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.plan import Plan, PlannedNode, Rebalance
from moorage.planner.plan_issuer import PlanIssuer
from moorage.planner.rebalancing import guards
from moorage.planner.rebalancing.rebalancing import Rebalancing
from moorage.planner.rebalancing.targets import Targets
from moorage.planner.stage import Stage
from moorage.protocol import (
    Ack,
    DeletePlaceholder,
    ExpectPods,
    NodeReport,
    NodeReports,
    NodeState,
    Outcome,
    Owner,
    Position,
    ReasonCode,
    Release,
    Slot,
    SlotReport,
    Webhook,
)
from tests.unit.drain.bed.bed import Bed, shop
from tests.unit.drain.build import at, owner, pod
from tests.unit.evictor.service.held import Recorder
from tests.unit.pinner.bed import faults
from tests.unit.pinner.bed.virtual import run, virtual
from tests.unit.protocol.support import promise

CLUSTER, US = "c", "castai-agent/moorage-planner"
SLOTS = (Slot(Owner("Deployment", "shop", "web"), {"cpu": "1"}, 2),)


def plan(*drain: str, made: tuple[str, ...] = ("new-1", "new-2"), within: float = 3600.0) -> Plan:
    nodes = tuple(PlannedNode(name, promise(name), slots=SLOTS) for name in made)
    return Plan("p", "d", timedelta(minutes=10), nodes, rebalance=Rebalance(drain, timedelta(seconds=within)))


def served(of: Plan) -> InstructionStore:
    board = InstructionStore()
    PlanIssuer(board).begin(of)
    return board


def report(board: InstructionStore, **states: NodeState) -> None:
    now = Position(board.epoch, board.high)
    found = [NodeReport(name.replace("_", "-"), state, sentence="so", position=now) for name, state in states.items()]
    board.reports.update(CLUSTER, NodeReports(tuple(found)))


# --- the nodes that are made ---


def test_expectations_last_while_nodes_are_emptied() -> None:
    board = served(plan("old", within=600))
    lasting = {type(each.action).__name__: each.deadline - each.issued for each in board}
    assert lasting == {"CreatePlaceholder": timedelta(minutes=10), "ExpectPods": timedelta(minutes=20)}


def test_all_must_be_ready_and_the_pinner_there() -> None:
    of = plan("old")
    board = served(of)
    targets = Targets(of, board, CLUSTER)
    assert targets.paused == "no pod pinner that leads is connected"
    with board.reports.connected(CLUSTER):
        assert list(targets.waiting) == [f"node new-{n}: there is no report yet" for n in (1, 2)]
        report(board, new_1=NodeState.READY, new_2=NodeState.JOINING)
        assert list(targets.waiting) == ["node new-2: so"]
        assert targets.paused == "node new-2: so"
        report(board, new_2=NodeState.PREPARING)
        assert list(targets.waiting) == []
        assert (targets.paused, targets.lost) == ("", "")
    assert targets.paused == "no pod pinner that leads is connected"
    with board.reports.connected("another"):
        board.reports.update("another", NodeReports((NodeReport("new-1", NodeState.READY),)))
        assert targets.paused == "no pod pinner that leads is connected", "of this cluster"


def test_a_webhook_that_is_not_asked_yet_is_waited_for_as_long_as_pods_are_expected() -> None:
    of = plan("old", made=("new-1",))
    board = served(of)
    targets, now = Targets(of, board, CLUSTER), Position(board.epoch, board.high)
    with board.reports.connected(CLUSTER):
        for webhook, filled, why in (
            (Webhook.IDLE, 0, "2 pods are expected, and the pod pinner's webhook does not assign them yet"),
            (Webhook.SERVING, 0, ""),
            (Webhook.IDLE, 2, ""),
            (Webhook.UNSPECIFIED, 0, ""),  # there is none
        ):
            slot = SlotReport(SLOTS[0].owner, 2, scheduler=filled)
            said = NodeReport("new-1", NodeState.PREPARING, slots=(slot,), position=now)
            board.reports.update(CLUSTER, NodeReports((said,), webhook))
            assert targets.paused == why


def test_what_was_said_before_the_pinner_had_taken_the_plan_on_counts_for_nothing() -> None:
    of = plan("old", made=("new-1",))
    board = served(of)
    targets = Targets(of, board, CLUSTER)
    with board.reports.connected(CLUSTER):
        for state in (NodeState.READY, NodeState.GONE):  # of an earlier plan, or before room is held
            for position in (Position(board.epoch - 1, 9), Position(board.epoch, 1)):
                board.reports.update(CLUSTER, NodeReports((NodeReport("new-1", state, position=position),)))
                assert (list(targets.waiting), targets.lost) == (["node new-1: there is no report yet"], "")
        report(board, new_1=NodeState.READY)
        assert (targets.paused, targets.lost) == ("", "")


@pytest.mark.parametrize("state", [NodeState.FAILING, NodeState.FOREIGN, NodeState.GONE])
def test_a_node_that_fails_is_lost_and_what_is_taken_back_goes_by_how_far_it_came(state: NodeState) -> None:
    of = plan("old", made=("new-1", "new-2", "new-3"))
    board = served(of)
    targets = Targets(of, board, CLUSTER)
    report(board, new_1=NodeState.PLACEHOLDER, new_2=state)
    assert targets.lost == "node new-2: so"
    assert list(targets.withdrawal()) == [DeletePlaceholder("new-1"), Release("new-2"), DeletePlaceholder("new-3")]
    assert list(targets.release()) == [Release("new-1"), Release("new-2"), Release("new-3")]


@pytest.mark.parametrize("action", ["create", "expect"])
def test_what_is_refused_is_lost(action: str) -> None:
    of = plan("old")
    board = served(of)
    refused = next(each for each in board if each.id.startswith(action))
    board.record("another", Ack(refused.id, refused.position, Outcome.REJECTED, ReasonCode.NODE_IS_REAL))
    targets = Targets(of, board, CLUSTER)
    assert targets.lost == ""
    board.record(CLUSTER, Ack(refused.id, refused.position, Outcome.REJECTED, ReasonCode.NODE_IS_REAL))
    assert targets.lost == "node new-1: NODE_IS_REAL: a real node has this name"


# --- what holds those that go ---


def changed(of: Pod, **spec: Any) -> Pod:
    return msgspec.convert({**msgspec.to_builtins(of), "spec": {**msgspec.to_builtins(of.spec), **spec}}, Pod)


def noted(of: Pod, **annotations: str) -> Pod:
    return msgspec.structs.replace(of, metadata=msgspec.structs.replace(of.metadata, annotations=annotations))


WEB = pod("web-1", owner("ReplicaSet", "web-1"))
HOLDERS = {
    "of a ReplicaSet": (WEB, ""),
    "of a StatefulSet": (pod("db-0", owner("StatefulSet", "db")), ""),
    "bare": (pod("p"), "nobody would create the pod again"),
    "of a Job": (
        pod("j", owner("Job", "j", "batch/v1")),
        "it is unknown whether its Job would create the pod again, and elsewhere",
    ),
    "never to be disrupted": (
        noted(WEB, **{"karpenter.sh/do-not-disrupt": "true"}),
        'karpenter.sh/do-not-disrupt: "true"',
    ),
    "no longer kept": (noted(WEB, **{"karpenter.sh/do-not-disrupt": "false"}), ""),
    "not safe to evict": (
        noted(WEB, **{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}),
        'cluster-autoscaler.kubernetes.io/safe-to-evict: "false"',
    ),
    "safe to evict": (noted(WEB, **{"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}), ""),
    "with data on the node": (
        changed(WEB, volumes=[{"name": "v", "hostPath": {"path": "/x"}}]),
        "it has data on the node: hostPath v",
    ),
    "tolerates everything": (
        changed(WEB, tolerations=[{"operator": "Exists"}]),
        "it tolerates a cordon, and would come back",
    ),
}


@pytest.mark.parametrize("which", HOLDERS)
def test_what_holds_a_pod(which: str) -> None:
    found, why = HOLDERS[which]
    assert guards.holds(found) == why


class _Sight:
    def __init__(self, *pods: Pod) -> None:
        self._pods = pods

    def on(self, _node: str) -> tuple[Pod, ...]:
        return self._pods


def test_what_others_say_of_a_node_holds_it_until_nothing_is_left_to_be_moved() -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    node = msgspec.convert({"metadata": {"name": "n"}, "spec": {"taints": [taint]}}, Node)
    kept = msgspec.convert(
        {"metadata": {"name": "n", "labels": {"autoscaling.cast.ai/removal-disabled": "true"}}}, Node
    )
    daemon = pod("d", owner("DaemonSet", "d"))
    ended = pod("e", owner("ReplicaSet", "e"), phase="Succeeded")
    with_pod, without = cast("Any", _Sight(WEB, daemon)), cast("Any", _Sight(daemon, ended))
    assert guards.claimed(node, with_pod) == "taint ToBeDeletedByClusterAutoscaler"
    assert guards.claimed(kept, with_pod) == 'autoscaling.cast.ai/removal-disabled: "true"'
    assert guards.claimed(node, without) == guards.claimed(kept, without) == ""
    stances = {each.pod.metadata.name: each.stance for each in guards.classify(node, [WEB, daemon], with_pod)}
    assert stances == {"web-1": Stance.MOVES, "d": Stance.STAYS}


# --- whole ones ---


class Told:
    """A rebalancing in a bed, with its own reports."""

    def __init__(self, bed: Bed, of: Plan, **settings: Any) -> None:
        self.board = served(of)
        self.stages: list[Stage] = []
        self.recorder = Recorder()
        self.it = Rebalancing(
            of,
            self.board,
            cast("Transport", bed.wire),
            cluster=CLUSTER,
            installation=US,
            election=None,
            tell=lambda stage, _: self.stages.append(stage),
            recorder=self.recorder.as_recorder(),
            settings=Settings(rest_after_rollback=timedelta(seconds=1), **settings),
        )

    def on_nodes(self) -> list[tuple[str, str]]:
        """The Events since the last question, in the nodes' order: which node, and the reason."""
        found = self.recorder.take()
        assert all(about.startswith("Node ") for about, _, _ in found)
        return sorted((about.partition(" ")[2], reason) for about, reason, _ in found)

    @property
    def actions(self) -> list[object]:
        return [each.action for each in self.board]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.it.run())
        try:
            yield
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def clean(bed: Bed) -> None:
    assert bed.witness.wrong == []
    assert not any(bed.node(f"n{number}")["spec"].get("unschedulable") for number in range(4))


@virtual
async def test_nothing_is_evicted_before_all_nodes_are_ready_and_then_the_old_ones_are_emptied() -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        told = Told(bed, plan("n0", "n1"))
        with told.board.reports.connected(CLUSTER):
            async with told.running():
                report(told.board, new_1=NodeState.READY, new_2=NodeState.PLACEHOLDER)
                await asyncio.sleep(60)
                assert (told.stages, bed.witness.evicted) == ([], 0)
                report(told.board, new_2=NodeState.PREPARING)
                await bed.until(lambda: told.it.stage.final)
                assert told.stages == [Stage.EMPTYING, Stage.DONE]
                assert told.it.troubles == []
                assert bed.pods_on("n0") == bed.pods_on("n1") == []
                assert {bed.phase("n0"), bed.phase("n1")} == {"emptied"}
                assert told.on_nodes() == [(n, each) for n in ("n0", "n1") for each in ("Draining", "Emptied")]
                assert [each for each in told.actions if isinstance(each, Release)] == [
                    Release("new-1"),
                    Release("new-2"),
                ]
                clean(bed)
                await asyncio.sleep(1200)
                assert {bed.phase("n0"), bed.phase("n1")} == {"handed-back"}, "nobody has deleted them"
                assert told.on_nodes() == [("n0", "HandedBack"), ("n1", "HandedBack")]


@pytest.mark.parametrize("how", ["failed", "deadline"])
@virtual
async def test_a_node_that_never_comes_has_everything_taken_back(how: str) -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        told = Told(bed, plan("n0", "n1"))
        with told.board.reports.connected(CLUSTER):
            async with told.running():
                report(told.board, new_1=NodeState.READY, new_2=NodeState.PLACEHOLDER)
                if how == "failed":
                    await asyncio.sleep(30)
                    report(told.board, new_2=NodeState.FAILING)
                await bed.until(lambda: told.it.stage.final, within=700)
                assert told.stages == [Stage.WITHDRAWN]
                (trouble,) = told.it.troubles
                assert trouble.startswith("the rebalancing was taken back: ")
                assert trouble.endswith("node new-2: so")
                assert ("the deadline has passed" in trouble) is (how == "deadline")
                assert told.actions[-2] == Release("new-1")
                assert isinstance(told.actions[-1], DeletePlaceholder if how == "deadline" else Release)
                await asyncio.sleep(120)
                assert bed.witness.evicted == 0
                assert bed.writes() == []


@virtual
async def test_while_no_pinner_leads_nothing_more_is_evicted() -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        told = Told(bed, plan("n0", "n1"))
        ready = {"new_1": NodeState.READY, "new_2": NodeState.READY}
        async with told.running():
            with told.board.reports.connected(CLUSTER):
                report(told.board, **ready)
                await bed.until(lambda: bed.witness.evicted)
            evicted = bed.witness.evicted
            await asyncio.sleep(120)
            assert bed.witness.evicted <= evicted + 1, "what was under way as the pinner went"
            assert not told.it.stage.final
            with told.board.reports.connected(CLUSTER):
                await asyncio.sleep(30)
                assert bed.witness.evicted <= evicted + 1, "it has not said how it stands yet"
                report(told.board, **ready)
                await bed.until(lambda: told.it.stage.final)
                assert told.stages == [Stage.EMPTYING, Stage.DONE]
                clean(bed)


@pytest.mark.parametrize("when", ["while others are emptied", "when all are"])
@virtual
async def test_a_node_to_which_pods_come_back_is_emptied_once_more(when: str) -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        told = Told(bed, plan("n0", "n1"), rest_after_hand_back=timedelta(seconds=1))
        with told.board.reports.connected(CLUSTER):
            async with told.running():
                report(told.board, new_1=NodeState.READY, new_2=NodeState.READY)
                wanted = ["n0"] if when.startswith("while") else ["n0", "n1"]
                await bed.until(lambda: [bed.phase(name) for name in wanted] == ["emptied"] * len(wanted))
                assert not told.it.stage.final
                bed.cluster.scale("web", 5)
                bed.cluster.place("web", "n0")
                await bed.until(lambda: told.it.stage.final)
                assert (told.it.stage, told.it.troubles) == (Stage.DONE, [])
                assert bed.pods_on("n0") == bed.pods_on("n1") == []
                assert {bed.phase("n0"), bed.phase("n1")} == {"emptied"}
                clean(bed)


@virtual
async def test_who_is_stopped_gives_back_what_is_under_way_and_who_comes_after_does_the_rest() -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        ready = {"new_1": NodeState.READY, "new_2": NodeState.READY}
        first, second = Told(bed, plan("n0", "n1")), Told(bed, plan("n0", "n1"))
        with first.board.reports.connected(CLUSTER):
            async with first.running():
                report(first.board, **ready)
                await bed.until(lambda: bed.witness.evicted)
                await first.it.end(10.0)
                assert {bed.phase("n0"), bed.phase("n1")} <= {"rolled-back", "emptied"}
                assert ("n0", "RolledBack") in first.on_nodes()
                await asyncio.sleep(60)
                assert first.stages == [Stage.EMPTYING], "it is not over, and"
                assert not any(isinstance(each, Release) for each in first.actions), "pods are expected still"
                clean(bed)
        with second.board.reports.connected(CLUSTER):
            async with second.running():
                report(second.board, **ready)
                await bed.until(lambda: second.it.stage.final)
                assert second.stages == [Stage.EMPTYING, Stage.DONE]
                assert bed.pods_on("n0") == bed.pods_on("n1") == []
                clean(bed)
                evicted = bed.witness.evicted
        third = Told(bed, plan("n0", "n1", "gone"))
        with third.board.reports.connected(CLUSTER):
            async with third.running():
                report(third.board, **ready)
                await bed.until(lambda: third.it.stage.final)
                assert third.it.stage is Stage.DONE
                assert bed.witness.evicted == evicted, "there is nothing left to be done"


@pytest.mark.parametrize("seed", range(6))
def test_planners_that_are_killed_or_stopped_and_pinners_that_come_and_go_break_no_floor(seed: int) -> None:
    run(lives(random.Random(seed)))


async def lives(chance: random.Random) -> None:
    """Planners one after the other. The last one may run as long as needed."""
    ready = {"new_1": NodeState.READY, "new_2": NodeState.READY}
    async with Bed(seed=chance.randrange(99)) as bed:
        shop(bed)
        await bed.begin()
        for last in (False, False, False, True):
            told = Told(bed, plan("n0", "n1"))
            async with told.running():
                while not told.it.stage.final:
                    with told.board.reports.connected(CLUSTER):
                        report(told.board, **ready)
                        await asyncio.sleep(chance.uniform(2, 60))
                    await asyncio.sleep(chance.uniform(0, 10))
                    if not last and chance.random() < 0.7:
                        break
                if chance.random() < 0.5:
                    await told.it.end(10.0)
        assert told.it.stage is Stage.DONE
        assert bed.pods_on("n0") == bed.pods_on("n1") == []
        assert bed.repeated() == []
        clean(bed)


@virtual
async def test_what_holds_a_node_is_said_when_the_time_is_over() -> None:
    async with Bed() as bed:
        shop(bed)
        bed.api.create(
            "pods",
            {
                "metadata": {"name": "bare", "creationTimestamp": at(0)},
                "spec": {"nodeName": "n1"},
                "status": {"phase": "Running"},
            },
            "shop",
        )
        await bed.begin()
        told = Told(bed, plan("n0", "n1", within=300))
        with told.board.reports.connected(CLUSTER):
            async with told.running():
                report(told.board, new_1=NodeState.READY, new_2=NodeState.READY)
                await bed.until(lambda: told.it.stage.final)
                assert told.stages == [Stage.EMPTYING, Stage.INCOMPLETE]
                assert told.it.troubles == [
                    "node n1 was not emptied: a pod on the node may not be moved "
                    "(shop/bare: nobody would create the pod again)"
                ]
                assert bed.phase("n0") == "emptied"
                assert Release("new-1") in told.actions
                clean(bed)


@pytest.mark.parametrize("kind", ["nodes", "pods"])
@virtual
async def test_what_may_not_be_seen_is_not_taken_for_gone(kind: str) -> None:
    async with Bed() as bed:
        shop(bed)
        await bed.begin()
        bed.wire.faults.set(faults.deny(), "list", kind)
        told = Told(bed, plan("n0", "n1", within=60))
        with told.board.reports.connected(CLUSTER):
            async with told.running():
                report(told.board, new_1=NodeState.READY, new_2=NodeState.READY)
                await bed.until(lambda: told.it.stage.final)
                assert told.stages == [Stage.EMPTYING, Stage.INCOMPLETE]
                assert [each.partition(": ")[2].partition(" of")[0] for each in told.it.troubles] == [kind] * 2
                assert bed.writes() == []


def test_a_plan_of_another_kind_issues_what_it_did() -> None:
    board = InstructionStore()
    node = PlannedNode("n", promise("n"), slots=SLOTS)
    PlanIssuer(board).begin(Plan("p", "d", timedelta(minutes=10), (node,)))
    assert [type(each.action) for each in board][1] is ExpectPods
    assert {each.deadline - each.issued for each in board} == {timedelta(minutes=10)}
