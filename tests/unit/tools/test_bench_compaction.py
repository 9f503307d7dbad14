"""The parts of the compaction benchmark that decide what its figures mean: the bound, and what is missed."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import pytest
from msgspec.structs import replace as changed

from moorage.evictor.candidates import Policy, Stance, judge
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
    """What the dearest set of nodes costs whose pods fit elsewhere, by trying all sets and all places."""
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
    assert bound.freeable(cluster.nodes, cluster.pods, verdicts, price) == pytest.approx(known, rel=1e-5), "no room left"
    held = {name: verdict._replace(findings=()) if verdict.may_go else verdict for name, verdict in verdicts.items()}
    held = {name: verdict for name, verdict in held.items() if name in cluster.planted[:4]}
    some = bound.freeable(cluster.nodes, cluster.pods, verdicts | dict.fromkeys(set(price) - set(held), _kept()), price)
    assert some == pytest.approx(sum(price[name] for name in held), rel=1e-5)


def _kept() -> object:
    raise NotImplementedError
