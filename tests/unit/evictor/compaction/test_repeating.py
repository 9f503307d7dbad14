"""A repeated search with the earlier result: as long as it is valid it is the answer; otherwise it has no effect."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from moorage.evictor.candidates import NodeFinding, NodeReason, Policy, judge
from moorage.evictor.compaction import Cluster, History, Plan, choose
from tools.bench.compaction import clusters

from .build import ALL
from .test_properties import SEEDS, overdraws_nothing, plan_of, really_fits, wild


def again(cluster: clusters.Cluster, first: Plan, proposed: Mapping[str, str]) -> Plan:
    """Which of the chosen nodes could go, where it is proposed how."""
    view, wanted = cluster.view(), {node.name for node in first.chosen}
    aside = NodeFinding(NodeReason.NODE_RESTING, "nobody asks about it")
    verdicts = {
        name: verdict if name in wanted else verdict._replace(findings=(*verdict.findings, aside))
        for name, verdict in judge(view, Policy()).items()
    }
    return choose(Cluster(cluster.snapshot(), view, verdicts, proposed=proposed), replace(ALL, midway=True), History())


def places(plan: Plan) -> dict[str, str]:
    return {move.pod: move.node for node in plan.chosen for move in node.moves}


@pytest.mark.parametrize("mixed", [False, True], ids=["plain", "mixed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_found_is_found_again_and_without_another_search(seed: int, mixed: bool) -> None:
    cluster = clusters.planted(30, seed, mixed=mixed, pods=12)
    first = plan_of(cluster)
    plan = again(cluster, first, places(first))
    assert {node.name for node in plan.chosen} == {node.name for node in first.chosen}
    assert places(plan) == places(first)
    assert plan.steps == len(places(first)), "each pod was looked at once"


@pytest.mark.parametrize("seed", SEEDS)
def test_where_something_has_come_to_a_place_meanwhile_others_are_found(seed: int) -> None:
    cluster = clusters.planted(30, seed, mixed=True, pods=12)
    first = plan_of(cluster)
    chance, proposed = random.Random(seed), places(first)
    for key in chance.sample(sorted(proposed), 10):
        proposed[key] = chance.choice(cluster.nodes).metadata.name
    plan = again(cluster, first, proposed)
    really_fits(cluster, plan)
    overdraws_nothing(cluster, plan)
    assert plan.freed >= again(cluster, first, {}).freed


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_proposed_nothing_else_is_chosen_than_what_fits(seed: int) -> None:
    cluster = wild(seed)
    first = plan_of(cluster)
    without = again(cluster, first, {})
    names = [node.metadata.name for node in cluster.nodes]
    chance = random.Random(seed)
    for proposed in (
        places(first),
        dict.fromkeys(places(first), names[0]),
        {key: chance.choice(names) for key in places(first)},
        dict.fromkeys(places(first), "deleted"),
    ):
        plan = again(cluster, first, proposed)
        really_fits(cluster, plan)
        overdraws_nothing(cluster, plan)
        assert plan.freed >= without.freed
