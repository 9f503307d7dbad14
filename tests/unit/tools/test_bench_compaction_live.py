"""The parts of the live compaction benchmark that define its figures: the tally, the figures, the objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import yaml

from moorage.objects import Condition, Pod
from tools.bench.common.errors import BenchError
from tools.bench.common.tables import MISSED
from tools.bench.compaction import clusters
from tools.bench.compaction.case import MIXED, PLAIN
from tools.bench.compaction.live import contenders, figures, manifests
from tools.bench.compaction.live.contenders import DEFAULT, HARD, MOORAGE, MOST, SOFT
from tools.bench.compaction.live.figures import Run
from tools.bench.compaction.live.tally import Floor, Tally, floor, floors, percentile
from tools.localcluster import nodes

EVICTED = Condition("DisruptionTarget", "True", "EvictionByEvictionAPI")


def pod(uid: str, app: str = "web", *, node: str = "", ready: bool = False, leaving: bool = False, **why: Any) -> Pod:
    conditions = (Condition("Ready", str(ready)), *why.get("because", ()))
    meta = {"name": uid, "uid": uid, "labels": {"app": app}}
    if leaving:
        meta["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    spec, status = {"nodeName": node}, {"conditions": msgspec.to_builtins(conditions)}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": status}, Pod)


def serving(*uids: str, least: int = 2, budget: bool = False) -> Tally:
    """What is counted of a workload whose pods are all ready on node a."""
    tally = Tally({"web": Floor(least, budget)})
    for uid in uids:
        tally.see(pod(uid), 0)
        tally.see(pod(uid, node="a", ready=True), 0)
    tally.begin()
    return tally


@pytest.mark.parametrize(
    ("replicas", "allowed", "least"),
    [(1, None, 1), (2, None, 1), (3, None, 2), (7, None, 6), (8, None, 6), (12, None, 9), (12, 9, 3), (2, 1, 1)],
)
def test_a_floor_is_the_budget_or_what_an_update_may_take_and_one_pod_at_the_least(
    replicas: int, allowed: int | None, least: int
) -> None:
    assert floor(replicas, allowed) == Floor(least, budget=allowed is not None)


def test_each_fall_below_the_floor_counts_once() -> None:
    tally = serving("1", "2", "3")
    tally.see(pod("1", node="a", ready=True, leaving=True), 1)
    assert tally.broken == [], "two of three are left"
    tally.see(pod("2", node="a", ready=True, leaving=True), 2)
    tally.see(pod("3", node="a"), 3)
    assert tally.broken == [("web", 1, 2)], "it stays below"
    tally.see(pod("4"), 4)
    tally.see(pod("4", node="b", ready=True), 5)
    tally.see(pod("3", node="a", ready=True), 6)
    tally.see(pod("4", node="b", ready=True), 7, gone=True)
    assert tally.broken == [("web", 1, 2), ("web", 1, 7)]
    assert tally.violations(budget=False) == 2
    assert tally.violations(budget=True) == 0


def test_a_workload_that_never_had_what_it_keeps_is_not_taken_below_it() -> None:
    tally = Tally({"web": Floor(2)})
    tally.see(pod("1", node="a", ready=True), 0)
    tally.see(pod("1", node="a"), 1)
    assert tally.broken == []


def test_violations_of_budgets_count_apart() -> None:
    tally = serving("1", "2", budget=True)
    tally.see(pod("1", node="a"), 1)
    assert (tally.violations(budget=True), tally.violations(budget=False)) == (1, 0)


def test_evictions_count_once_for_each_pod_and_other_deletions_do_not() -> None:
    tally = serving("1", "2", "3", least=1)
    for _ in range(2):
        tally.see(pod("1", node="a", ready=True, leaving=True, because=[EVICTED]), 1)
    tally.see(pod("2", node="a", ready=True, leaving=True), 1)
    taint = Condition("DisruptionTarget", "True", "DeletionByTaintManager")
    tally.see(pod("3", node="a", ready=True, because=[taint]), 1)
    assert tally.evictions == 1


def test_a_replacement_waits_until_it_has_a_node_or_is_gone_or_until_now() -> None:
    tally = serving("1")
    assert tally.waits(9) == [], "what was there before is no replacement"
    tally.see(pod("2"), 1)
    tally.see(pod("2"), 2)
    tally.see(pod("2", node="b"), 4)
    tally.see(pod("2", node="b", ready=True), 20)
    tally.see(pod("3"), 10)
    tally.see(pod("3"), 11, gone=True)
    tally.see(pod("4"), 15)
    tally.see(pod("5", node="b"), 16)
    assert tally.waits(22) == [0, 1, 3, 7]
    assert tally.unbound == 1


def test_pods_are_counted_by_their_nodes_and_strangers_are_not_counted() -> None:
    tally = serving("1", "2")
    tally.see(pod("3", node="b"), 1)
    tally.see(pod("agent", "agent", node="a", ready=True), 1)
    assert (tally.on("a"), tally.on("b"), tally.on("ab"), tally.ready) == (2, 1, 3, 2)


def test_percentile_of_a_hundred_is_the_second_longest() -> None:
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99
    assert percentile([1.0, 2.0], 0.99) == 2
    assert percentile([7.0], 0.99) == 7
    assert percentile([], 0.99) == 0


GOOD = Run(MOORAGE, PLAIN, 60, 528, 34, 960.0, 980.0, 1000.0, 300, 290, 0.4, 0, 0, 200.0)
RIVAL = replace(GOOD, contender=MOST, promised_cost=None, freed_cost=900.0)


def judged(run: Run, *others: Run) -> list[str]:
    """The figures of the targets that are missed."""
    return [figure for _, _, figure, _, state in figures.targets(figures.grouped([run, *others])) if state == MISSED]


def test_all_targets_are_met() -> None:
    assert judged(GOOD, RIVAL) == []


@pytest.mark.parametrize(
    ("worse", "figure"),
    [
        ({"promised_cost": 940.0}, "promised 0.940 of the bound"),
        ({"freed_cost": 930.0}, "freed 0.949 of what was promised"),
        ({"evictions": 320}, "1.10 evictions for each pod on freed nodes"),
        ({"pending_p99_s": 5.1}, "99 of 100 evicted pods had a node after 5.1 s"),
        ({"pdb_violations": 1}, "1 violations of PodDisruptionBudgets"),
        ({"floor_violations": 2}, "2 violations of floors"),
    ],
)
def test_each_target_can_be_missed_alone(worse: dict[str, Any], figure: str) -> None:
    assert judged(replace(GOOD, **worse), RIVAL) == [figure]


def test_to_free_as_much_as_the_best_of_others_is_not_enough() -> None:
    worse = replace(RIVAL, contender=DEFAULT, freed_cost=0.0)
    assert judged(GOOD, worse, replace(RIVAL, freed_cost=960.0)) == ["freed 960"]


def test_a_contender_that_does_nothing_misses_what_it_should_do() -> None:
    nothing = replace(GOOD, freed=0, freed_cost=0.0, promised_cost=0.0, evictions=0, pods_on_freed=0)
    assert judged(nothing) == ["promised 0.000 of the bound", "freed 0.000 of what was promised", "freed 0"]


def test_mixed_clusters_may_be_promised_less() -> None:
    assert judged(replace(GOOD, profile=MIXED, promised_cost=860.0, freed_cost=850.0)) == []


def test_rounds_are_medians_but_every_violation_counts() -> None:
    rounds = [replace(GOOD, freed_cost=cost, floor_violations=falls) for cost, falls in ((900, 0), (970, 1), (950, 1))]
    found = figures.grouped(rounds)[PLAIN][MOORAGE]
    assert (found.freed_cost, found.floor_violations) == (950, 2)
    assert figures.medians([RIVAL]).promised_cost is None


def test_those_with_destinations_have_the_same_targets_and_those_that_are_only_steered_none() -> None:
    with_both = figures.grouped([GOOD, replace(GOOD, contender=HARD), replace(GOOD, contender=SOFT, freed_cost=1.0)])
    assert {who for _, who, _, _, _ in figures.targets(with_both)} == {MOORAGE, HARD}
    assert judged(replace(GOOD, contender=HARD, evictions=320)) == ["1.10 evictions for each pod on freed nodes"]


def test_where_replacements_come_to_is_read_from_the_metrics_and_summed_up_over_rounds() -> None:
    shown = (
        "# TYPE moorage_evictor_replacements_total counter\n"
        'moorage_evictor_replacements_total{place="as_simulated"} 30.0\n'
        'moorage_evictor_replacements_total{place="elsewhere"} 10.0\n'
    )
    assert contenders.come(shown) == (30, 10)
    assert contenders.come("") == (0, 0)
    rounds = [replace(GOOD, as_simulated=30, elsewhere=10), replace(GOOD, as_simulated=50, elsewhere=10)]
    assert figures.medians(rounds).share == 0.8
    assert (GOOD.share, figures.medians([RIVAL]).as_simulated) == (None, None)
    assert "30 replacements came where they were simulated, 10 elsewhere" in figures.sentence(rounds[0])


def test_what_is_used_of_what_is_left() -> None:
    cluster = clusters.planted(12, 1, free=0.6, pods=17)
    before = contenders.utilisation(cluster.nodes, cluster.pods, ())
    half = [node.metadata.name for node in cluster.nodes][:6]
    daemons = [each for each in cluster.pods if each.metadata.owner_references[0].kind == "DaemonSet"]
    assert 0.3 < before < 0.6
    assert contenders.utilisation(cluster.nodes, cluster.pods, half) == pytest.approx(2 * before, abs=0.02)
    assert contenders.utilisation(cluster.nodes, daemons, half) == contenders.utilisation(cluster.nodes, daemons, ())


@pytest.fixture(scope="module")
def mixed() -> clusters.Cluster:
    return clusters.planted(12, 1, mixed=True, free=0.6, pods=17)


def test_objects_are_those_of_the_seeded_cluster(mixed: clusters.Cluster) -> None:
    made = list(manifests.pods(mixed))
    assert len(made) == len(mixed.pods) - len(mixed.nodes), "the DaemonSet makes its own"
    placed = {(each["metadata"]["name"], each["spec"]["nodeName"]) for each in made}
    assert placed <= {(each.metadata.name, each.spec.node_name) for each in mixed.pods}
    known = floors(mixed)
    assert {each["metadata"]["labels"]["app"] for each in made} == set(known)
    assert sum(each.budget for each in known.values()) == len(mixed.budgets) > 0


def test_deployments_adopt_replica_sets_and_those_the_pods(mixed: clusters.Cluster) -> None:
    made = list(manifests.controllers(mixed))
    sets = {each["metadata"]["name"]: each for kind, each in made if kind == "replicasets"}
    deployments = {each["metadata"]["name"]: each for kind, each in made if kind == "deployments"}
    assert sets == deployments
    for each in manifests.pods(mixed):
        labels = each["metadata"]["labels"]
        controller = sets[labels["app"]]
        assert controller["spec"]["selector"]["matchLabels"] == labels == controller["metadata"]["labels"]
        del each["spec"]["nodeName"]
        assert controller["spec"]["template"]["spec"] == each["spec"]


def test_nodes_belong_to_their_node_claims(mixed: clusters.Cluster) -> None:
    for seeded in mixed.nodes:
        node, status = manifests.node(seeded, "uid"), manifests.claim_status(seeded, "2026-01-01T12:00:00Z")
        assert node["spec"]["providerID"] == status["providerID"]
        assert manifests.claim(seeded)["metadata"]["labels"].items() <= node["metadata"]["labels"].items()
        assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] in {
            "m-16x-amd64-linux",
            "m-32x-amd64-linux",
        }


def test_pods_take_their_time() -> None:
    played = nodes.paced(nodes.KWOK_STAGES.read_text(), manifests.PACE)
    stages = {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(played)}
    assert stages["pod-running"]["delay"] == {"durationMilliseconds": 5000, "jitterDurationMilliseconds": 20000}
    assert stages["pod-deleted"]["delay"] == {"durationMilliseconds": 10000, "jitterDurationMilliseconds": 10000}
    assert "delay" not in stages["node-ready"]


def test_descheduler_is_given_the_highest_threshold_with_which_it_acts() -> None:
    cluster = clusters.planted(60, 1, free=0.6, pods=22)
    percent = contenders.threshold(cluster)
    assert 30 <= percent <= 50
    assert f"cpu: {percent}" in contenders.policy(percent)
    with pytest.raises(BenchError, match="the cluster is empty"):
        contenders.threshold(clusters.Cluster(nodes=cluster.nodes))
