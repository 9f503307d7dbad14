"""Every choice really fits, pod by pod, without overcommitment. The same cluster gives the same plan."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from moorage.evictor.candidates import Policy, Stance, judge
from moorage.evictor.compaction import Cluster, History, KeptReason, Plan, Prices, Unit, choose
from moorage.evictor.compaction.prices import PRICE, is_spot
from moorage.objects import NodeSpec, Pod, PodStatus
from moorage.scheduling import Fit
from moorage.scheduling.selectors import label_selector
from tools.bench.compaction import clusters, first_fit

from .build import ALL

SEEDS = range(4)


def plan_of(cluster: clusters.Cluster, **settings: object) -> Plan:
    view = cluster.view()
    found = Cluster(cluster.snapshot(), view, judge(view, Policy()))
    return choose(found, replace(ALL, **settings), History())  # type: ignore[arg-type]


def really_fits(cluster: clusters.Cluster, plan: Plan) -> None:
    """Each pod is removed and created again on the plan's node, with the scheduler's own rules."""
    snapshot, pods = cluster.snapshot(), {pod.key: pod for pod in cluster.pods}
    gone = {node.name for node in plan.chosen}
    for node in plan.chosen:
        for move in node.moves:
            assert snapshot.node_of(move.pod) == node.name, "moved once"
            assert move.node not in gone
            snapshot.remove(move.pod)
            verdict = snapshot.verdict(anew(pods[move.pod]), move.node)
            assert verdict.fit is Fit.YES, f"{move}: {verdict}"
            snapshot.place(anew(pods[move.pod]), move.node, key=move.pod)
    verdicts = judge(cluster.view(), Policy())
    for name in gone:
        assert verdicts[name].may_go
        left = {pod.key for pod in verdicts[name].pods if pod.stance is not Stance.STAYS}
        assert not left & set(snapshot.pods_on(name)), "nothing that is to move is left"


def anew(pod: Pod) -> Pod:
    spec, meta = changed(pod.spec, node_name=""), changed(pod.metadata, name="new")
    return changed(pod, metadata=meta, spec=spec, status=PodStatus())


def overdraws_nothing(cluster: clusters.Cluster, plan: Plan) -> None:
    pods = {pod.key: pod for pod in cluster.pods}
    moved = [pods[move.pod] for node in plan.chosen for move in node.moves]
    for budget in cluster.budgets.values():
        selector = label_selector(budget.spec.selector, "")
        ready = [pod for pod in moved if pod.status.conditions]
        assert sum(selector.matches(pod.metadata.labels) for pod in ready) <= budget.status.disruptions_allowed
    for pod_owner, count in Counter(pod.metadata.owner_references[0].name for pod in moved).items():
        wanted = cluster.workloads["ReplicaSet"][f"shop/{pod_owner}"].spec.replicas
        assert wanted is not None
        assert count <= max(1, wanted)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_packing_is_found(seed: int, mixed: bool) -> None:
    cluster = clusters.planted(60, seed, mixed=mixed, pods=12)
    plan = plan_of(cluster)
    really_fits(cluster, plan)
    overdraws_nothing(cluster, plan)
    price = ALL.prices.of(cluster.nodes).of
    assert plan.freed >= 0.9 * sum(price[name] for name in cluster.planted)
    verdicts = judge(cluster.view(), Policy())
    greedy = first_fit.compact(cluster.snapshot(), cluster.pods, verdicts)
    assert plan.freed >= sum(price[name] for name in greedy)
    assert set(plan.kept) | {node.name for node in plan.chosen} == {node.key for node in cluster.nodes}
    assert not plan.cut_off


@pytest.mark.parametrize("seed", range(3))
def test_nodes_with_pods_that_few_have_room_for_are_replaced_by_others(seed: int) -> None:
    """Removing them alone would free less than a search node by node (with seeds 1 and 2)."""
    cluster = clusters.randomly(60, seed, pods=6)
    plan = plan_of(cluster)
    really_fits(cluster, plan)
    price = ALL.prices.of(cluster.nodes).of
    greedy = first_fit.compact(cluster.snapshot(), cluster.pods, judge(cluster.view(), Policy()))
    assert plan.freed > sum(price[name] for name in greedy)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_costs_more_goes(seed: int) -> None:
    cluster, chance = clusters.planted(60, seed, pods=12), random.Random(seed)
    for place, node in enumerate(cluster.nodes):
        meta = changed(node.metadata, annotations={PRICE: str(chance.choice((0.2, 0.4, 1.1)))})
        cluster.nodes[place] = changed(node, metadata=meta)
    plan = plan_of(cluster)
    really_fits(cluster, plan)
    dearest = sorted(Prices().of(cluster.nodes).of.values())[-len(cluster.planted) :]
    assert plan.freed >= 0.9 * sum(dearest), "about as many as can go, and of those the dearest"


@pytest.mark.parametrize("seed", SEEDS)
def test_tight_budgets_and_few_steps(seed: int) -> None:
    cluster = clusters.planted(30, seed, mixed=True, pods=12)
    for key, budget in cluster.budgets.items():
        status = changed(budget.status, disruptions_allowed=1 + seed % 2)
        cluster.budgets[key] = changed(budget, status=status)
    whole = plan_of(cluster)
    assert not whole.cut_off
    for steps in (0, 7, 40, 150, whole.steps - 1, 4 * whole.steps):
        plan = plan_of(cluster, steps=steps)
        really_fits(cluster, plan)
        overdraws_nothing(cluster, plan)
        assert plan.steps <= steps
        assert plan.cut_off == (steps < whole.steps)
        assert plan.chosen == whole.chosen or plan.cut_off
        stopped = any(found.reason is KeptReason.CUT_OFF for reasons in plan.kept.values() for found in reasons)
        assert not stopped or plan.cut_off


def wild(seed: int) -> clusters.Cluster:
    """A busy cluster: pods end and are pending, nodes are cordoned, spot or expensive, pods are not ready."""
    chance = random.Random(seed)
    cluster = clusters.planted(30, seed, mixed=True, free=0.5, pods=12)
    for place, pod in enumerate(cluster.pods):
        kind = chance.random() if pod.metadata.owner_references[0].kind == "ReplicaSet" else 1
        if kind < 0.04:
            meta = changed(pod.metadata, deletion_timestamp="2026-01-01T12:00:20Z")
            cluster.pods[place] = changed(pod, metadata=meta)
        elif kind < 0.08:
            spec = changed(pod.spec, node_name="", priority=chance.choice((None, 0, 1000)))
            cluster.pods[place] = changed(pod, spec=spec, status=PodStatus(phase="Pending"))
        elif kind < 0.15:
            cluster.pods[place] = changed(pod, status=changed(pod.status, conditions=()))
    for place, node in enumerate(cluster.nodes):
        kind = chance.random()
        labels = node.metadata.labels | ({"karpenter.sh/capacity-type": "spot"} if kind < 0.3 else {})
        price = {PRICE: str(chance.choice((0.2, 0.4, 1.1)))} if seed % 2 else {}
        meta = changed(node.metadata, labels=labels, annotations=price)
        cluster.nodes[place] = changed(node, metadata=meta, spec=NodeSpec(unschedulable=kind > 0.93))
    return cluster


@pytest.mark.parametrize("seed", range(8))
def test_whatever_goes_on(seed: int) -> None:
    cluster = wild(seed)
    for settings in ({}, {"utilisation": 0.9, "most": 4}, {"steps": 120, "spot": True}):
        plan = plan_of(cluster, **settings)
        really_fits(cluster, plan)
        overdraws_nothing(cluster, plan)
        nodes = {node.key: node for node in cluster.nodes}
        targets = {move.node for node in plan.chosen for move in node.moves}
        assert not any(nodes[name].spec.unschedulable for name in targets)
        assert len([node for node in plan.chosen if node.moves]) <= settings.get("most", 30)
        if "spot" not in settings:
            away = [(nodes[node.name], nodes[move.node]) for node in plan.chosen for move in node.moves]
            assert all(is_spot(here) or not is_spot(there) for here, there in away)
        assert (plan.unit is Unit.MONEY) == bool(seed % 2)
        assert plan == plan_of(wild(seed), **settings)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_cluster_gives_the_same_plan_and_stays_as_it_is(seed: int) -> None:
    cluster = clusters.planted(30, seed, mixed=True, pods=12)
    view = cluster.view()
    snapshot = cluster.snapshot()
    before = {key: snapshot.node_of(key) for key in (pod.key for pod in cluster.pods)}
    free = [row.copy() for row in snapshot.resources.free]
    first = choose(Cluster(snapshot, view, judge(view, Policy())), ALL, History())
    assert {key: snapshot.node_of(key) for key in before} == before
    assert all((now == then).all() for now, then in zip(snapshot.resources.free, free, strict=False))
    assert choose(Cluster(snapshot, view, judge(view, Policy())), ALL, History()) == first
    assert plan_of(clusters.planted(30, seed, mixed=True, pods=12)) == first
