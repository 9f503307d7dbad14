"""The parts of the compaction benchmark that define its figures: the bound, and missed targets."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import pytest
from msgspec.structs import replace as changed

from moorage.evictor.candidates import NodeFinding, NodeReason, PodReason, Policy, Stance, judge
from moorage.evictor.compaction import Prices
from moorage.objects import Pod
from moorage.scheduling.requests import allocatable, placed
from tools.bench.compaction import bound, case, clusters, figures, first_fit
from tools.bench.compaction.case import BOUNDED, MIXED, PLAIN, PLANTED, Case
from tools.bench.compaction.objects import POOL, ZONE

Room = dict[str, dict[str, int]]


def tiny(seed: int) -> clusters.Cluster:
    """A cluster of six nodes of which two are large, with few pods, some of them tied to a zone or a pool."""
    chance = random.Random(seed)
    cluster = clusters.randomly(6, seed, mixed=True, load=chance.choice((0.4, 0.6)), pods=3)
    for place, pod in enumerate(cluster.pods):
        if chance.random() < 0.3:
            node = next(node for node in cluster.nodes if node.key == pod.spec.node_name)
            key = chance.choice((ZONE, POOL))
            spec = changed(pod.spec, node_selector=pod.spec.node_selector | {key: node.metadata.labels[key]})
            cluster.pods[place] = changed(pod, spec=spec)
    return cluster


def best(cluster: clusters.Cluster) -> float:
    """The cost of the most expensive set of nodes whose pods fit elsewhere, by trying all sets and placements."""
    verdicts = judge(cluster.view(), Policy())
    price = Prices().of(cluster.nodes).of
    moving = {each.key for verdict in verdicts.values() for each in verdict.pods if each.stance is Stance.MOVES}
    room = {node.key: dict(allocatable(node.status.allocatable)[0]) for node in cluster.nodes}
    for pod in cluster.pods:
        take(room[pod.spec.node_name], pod, 1)
    labels = {node.key: node.metadata.labels for node in cluster.nodes}
    found = 0.0
    names = [name for name, verdict in verdicts.items() if verdict.may_go]
    for count in range(len(names) + 1):
        for gone in combinations(names, count):
            worth = sum(price[name] for name in gone)
            pods = [pod for pod in cluster.pods if pod.key in moving and pod.spec.node_name in gone]
            left = {name: dict(amounts) for name, amounts in room.items() if name not in gone}
            pods.sort(key=lambda pod: -sum(placed(pod).values()))
            if worth > found and place_all(pods, left, labels):
                found = worth
    return found


def take(room: dict[str, int], pod: Pod, sign: int) -> None:
    for name, units in (placed(pod) | {"pods": 1}).items():
        room[name] -= sign * units


def place_all(pods: list[Pod], room: Room, labels: dict[str, dict[str, str]]) -> bool:
    if not pods:
        return True
    for name, left in room.items():
        if pods[0].spec.node_selector.items() <= labels[name].items():
            take(left, pods[0], 1)
            if min(left.values()) >= 0 and place_all(pods[1:], room, labels):
                return True
            take(left, pods[0], -1)
    return False


@pytest.mark.parametrize("seed", range(25))
def test_no_compaction_frees_more_than_the_bound(seed: int) -> None:
    cluster = tiny(seed)
    verdicts = judge(cluster.view(), Policy())
    price = Prices().of(cluster.nodes).of
    found = bound.freeable(cluster.nodes, cluster.pods, verdicts, price)
    assert best(cluster) <= found <= sum(price.values())
    assert found <= sum(price[name] for name, verdict in verdicts.items() if verdict.may_go) * 1.001


def test_the_bound_knows_resources_selectors_and_what_may_not_go() -> None:
    cluster = clusters.planted(30, 1, pods=12)
    verdicts = judge(cluster.view(), Policy())
    price = Prices().of(cluster.nodes).of
    known = sum(price[name] for name in cluster.planted)
    assert bound.freeable(cluster.nodes, cluster.pods, verdicts, price) == pytest.approx(known, rel=1e-5), (
        "no room left"
    )
    kept = NodeFinding(NodeReason.NODE_REMOVAL_DISABLED)
    for name in cluster.planted[4:]:
        verdicts[name] = verdicts[name]._replace(findings=(kept,))
    some = bound.freeable(cluster.nodes, cluster.pods, verdicts, price)
    assert some == pytest.approx(known, rel=1e-5), "others go instead"
    for name in set(verdicts) - set(cluster.planted[:4]):
        verdicts[name] = verdicts[name]._replace(findings=(kept,))
    some = bound.freeable(cluster.nodes, cluster.pods, verdicts, price)
    assert some == pytest.approx(sum(price[name] for name in cluster.planted[:4]), rel=1e-5)


def test_a_pod_is_not_counted_into_a_pool_that_its_selector_forbids() -> None:
    cluster = clusters.planted(30, 2, pods=12)
    price = Prices().of(cluster.nodes).of
    names = {
        node.key: changed(node.metadata, labels=node.metadata.labels | {"own": node.key}) for node in cluster.nodes
    }
    cluster.nodes = [changed(node, metadata=names[node.key]) for node in cluster.nodes]
    for place, pod in enumerate(cluster.pods):
        cluster.pods[place] = changed(pod, spec=changed(pod.spec, node_selector={"own": pod.spec.node_name}))
    verdicts = judge(cluster.view(), Policy())
    # Each pod may go nowhere but where it is: a node gives up at most the part that it has room for itself.
    assert bound.freeable(cluster.nodes, cluster.pods, verdicts, price) < 0.6 * sum(price.values())


def test_mixed_clusters_have_everything_that_makes_them_mixed() -> None:
    for cluster in (clusters.planted(60, 1, mixed=True), clusters.randomly(60, 1, mixed=True)):
        specs = [pod.spec for pod in cluster.pods]
        assert any(spec.topology_spread_constraints for spec in specs)
        assert any(spec.affinity and spec.affinity.pod_anti_affinity for spec in specs)
        assert any(spec.node_selector for spec in specs)
        assert cluster.budgets
        verdicts = judge(cluster.view(), Policy())
        reasons = {found.reason for verdict in verdicts.values() for pod in verdict.holders for found in pod.findings}
        assert reasons == {PodReason.SINGLE_REPLICA}
        assert any(verdict.findings for verdict in verdicts.values())
        assert not any(verdicts[name].holders or verdicts[name].findings for name in cluster.planted)


def test_plain_clusters_have_nothing_that_may_not_go_and_a_seed_gives_the_same_one() -> None:
    for cluster in (clusters.planted(60, 1), clusters.randomly(60, 1)):
        assert all(verdict.may_go for verdict in judge(cluster.view(), Policy()).values())
    assert clusters.randomly(60, 3, mixed=True) == clusters.randomly(60, 3, mixed=True)


def test_a_case_has_all_of_its_figures() -> None:
    for kind in (PLANTED, BOUNDED):
        found, cpu = case.measured(30, MIXED, kind, 1)
        assert (found.nodes, found.profile, found.kind, found.seed) == (30, MIXED, kind, 1)
        assert 0 < found.ffd_ratio <= 1
        assert 0.8 <= found.ratio <= 1
        assert found.freed_cost == pytest.approx(found.ratio * found.bound_cost, rel=1e-3)
        assert found.rss_mib > 10
        assert cpu > 0


GOOD = Case(200, 6000, PLAIN, PLANTED, 0, 58, 970.0, 1000.0, 0.97, 0.87, 1.0, 60.0)


def every(*sizes: int) -> list[Case]:
    return [
        replace(GOOD, nodes=nodes, profile=profile, kind=kind, seed=seed, seconds=nodes / 1000)
        for nodes in sizes
        for profile in (PLAIN, MIXED)
        for kind in (PLANTED, BOUNDED)
        for seed in range(2)
    ]


def test_seeds_that_first_fit_solves_do_not_count() -> None:
    assert figures.counts(GOOD)
    assert not figures.counts(replace(GOOD, ffd_ratio=0.9))


def test_each_target_can_be_missed() -> None:
    assert figures.missed(every(200, 1000, 5000), (200, 1000, 5000), 2) == []
    few = every(200)[:-1]
    assert figures.missed(few, (200,), 2) == ["200 nodes, mixed, bounded: 1 clusters count, 2 are wanted"]
    assert len(figures.missed(few, (200, 1000), 2)) == 5, "nothing was found of a size"
    found = [replace(one, ratio=0.89) for one in every(200)]
    assert figures.missed(found, (200,), 2) == [
        "200 nodes, plain, planted: 0.890 of what can be freed, wanted 0.95",
        "200 nodes, plain, bounded: 0.890 of what can be freed, wanted 0.9",
        "200 nodes, mixed, planted: 0.890 of what can be freed, wanted 0.9",
    ]
    slow = [replace(one, seconds=2.1) for one in every(1000)]
    assert "1000 nodes, plain, planted: 2.10 s, at most 2 are allowed" in figures.missed(slow, (1000,), 2)
    large = [replace(one, rss_mib=150.4 if one.seed else 9) for one in every(1000)]
    assert "1000 nodes, plain, planted: 150 MiB, at most 150 are allowed" in figures.missed(large, (1000,), 2)


def test_time_may_grow_a_little_more_than_the_number_of_nodes() -> None:
    assert figures.growth(every(1000), PLAIN) is None
    assert figures.growth(every(1000, 5000), MIXED) == pytest.approx(1.0)
    steep = [replace(one, seconds=(one.nodes / 1000) ** 1.4) for one in every(1000, 5000)]
    assert [line for line in figures.missed(steep, (1000, 5000), 2) if "power" in line] == [
        "plain: seconds grow with the power 1.40 of the nodes, 1.3 are allowed",
        "mixed: seconds grow with the power 1.40 of the nodes, 1.3 are allowed",
    ]


def test_the_table_marks_what_was_missed() -> None:
    found = figures.lines([*every(1000)[:2], replace(GOOD, ratio=0.5)], 1)
    assert [line[-1] for line in found] == ["", "MISSED"]
    assert found[0][6:8] == ("1.00 (≤ 2)", "60 (≤ 150)")


def test_first_fit_leaves_the_snapshot_as_it_was() -> None:
    cluster = clusters.planted(30, 1, pods=12)
    snapshot = cluster.snapshot()
    gone = first_fit.compact(snapshot, cluster.pods, judge(cluster.view(), Policy()))
    assert gone
    assert all(snapshot.node_of(pod.key) == pod.spec.node_name for pod in cluster.pods)
