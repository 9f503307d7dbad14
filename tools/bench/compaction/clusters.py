"""Seeded clusters: planted ones, whose best compaction is known because they are made from it, and random ones.

*Planted*: a recipe is a set of kinds of pods that fill a node exactly. Every node that stays is filled with a recipe,
then a part of its pods moves to empty nodes. So all nodes are about equally full, and the nodes that were empty can be
emptied again.

*Random*: workloads with much CPU or much memory, with replicas wherever there is room, as on a cluster whose scheduler
spreads. ``bound`` gives an upper bound of what can be emptied.

*Mixed* clusters also have pods that spread over zones, keep apart, or stay in a pool or a zone, PodDisruptionBudgets,
single replicas, which hold their nodes, and nodes whose removal is forbidden.
"""

from __future__ import annotations

import math
import random

from .objects import Cluster, made
from .sites import APART, SINGLE, SPREAD, ZONAL, ZONES, Item, Site, room, sites

__all__ = ["Cluster", "planted", "randomly"]

_RECIPES = 30
"""The largest number for each pool and size."""
_CPU_STEP, _MEMORY_STEP = 10, 16
_TRIES = 30
_LEAN = 0.8
"""Range of the ratio of CPU and memory of workloads, as powers of two."""
"""Number of nodes that are tried for a pod."""
_HELD, _KEPT = 0.05, 0.03
"""The parts of nodes with a single replica, and of nodes whose removal is forbidden."""
_MORE = 1.2
"""Additional pods per node, because the last ones do not fit."""
_REPLICAS = (2, 3, 3, 5, 8, 12, 20, 40)


def planted(nodes: int, seed: int, *, mixed: bool = False, free: float = 0.4, pods: int = 30) -> Cluster:
    """A cluster of which a known part can be emptied.

    Args:
        nodes: number of nodes. Zones are equal if it is a multiple of three.
        seed: seed of the cluster.
        mixed: whether pods have constraints, and some may not move.
        free: the part of the nodes that was empty.
        pods: average number of pods that fill a node.
    """
    chance = random.Random(f"{nodes} {seed} {mixed}")
    triples = nodes // 3
    stay = triples - round(triples * free)
    places = sites(nodes, mixed=mixed)
    empty = places[3 * stay : 3 * triples]
    full = [*places[: 3 * stay], *places[3 * triples :]]
    recipes: dict[tuple[str, int], list[list[Item]]] = {}
    for number, site in enumerate(full):
        known, triple = recipes.setdefault((site.pool, site.size), []), number // 3
        if not known or (number % 3 == 0 and triple % 4 < 2 and len(known) < _RECIPES):
            name = f"{site.pool}-{site.size}-{len(known)}"
            known.append(_recipe(chance, name, site.size, pods * site.size, mixed=mixed))
        for item in known[triple % len(known)]:
            site.put(item)
    if mixed:
        _hold(chance, full)
    _scatter(chance, full, empty, free)
    cluster = _shuffled(chance, places, mixed=mixed)
    cluster.planted = tuple(site.name for site in empty)
    return cluster


def randomly(nodes: int, seed: int, *, mixed: bool = False, load: float = 0.78, pods: int = 30) -> Cluster:
    """A cluster for which the number of removable nodes is unknown.

    Args:
        nodes: number of nodes.
        seed: seed of the cluster.
        mixed: whether pods have constraints, and some may not move.
        load: the largest use of a node.
        pods: the largest number of pods on a node.
    """
    chance = random.Random(f"{nodes} {seed} {mixed} random")
    places = sites(nodes, mixed=mixed)
    pools: dict[tuple[str, str], list[Site]] = {}
    for site in places:
        # Some nodes are full in CPU, others in memory. The other resource stays partly free.
        site.cpu, site.memory = (int(part * load * chance.uniform(0.75, 1.25)) for part in (site.cpu, site.memory))
        for zone in ("", site.zone):
            pools.setdefault((site.pool, zone), []).append(site)
    left, number = pods * nodes, 0
    full = _MORE * pods * nodes / sum(site.size for site in places) / load
    while left > 0:
        item, replicas = _workload(chance, f"w{number:05}", full, mixed=mixed)
        pool = "batch" if mixed and chance.random() < 0.2 else "general"
        where = pools.get((pool, chance.choice(ZONES) if item.wish == ZONAL else ""), places)
        placed = _place(chance, item, where, min(replicas, left))
        left, number = left - max(placed, 1), number + 1
    if mixed:
        _hold(chance, places)
    return _shuffled(chance, places, mixed=mixed)


def _recipe(chance: random.Random, name: str, size: int, pods: int, *, mixed: bool) -> list[Item]:
    """Kinds of pods that together fill a node exactly."""
    count = chance.randint(pods * 2 // 3, pods * 4 // 3)
    cpu, memory = room(size)
    cpus, memories = _parts(chance, cpu // _CPU_STEP, count), _parts(chance, memory // _MEMORY_STEP, count)
    wishes = chance.choices(("", SPREAD, APART), (75, 15, 10), k=count) if mixed else [""] * count
    return [
        Item(f"{name}-{place}", cpu * _CPU_STEP, memory * _MEMORY_STEP, wish)
        for place, (cpu, memory, wish) in enumerate(zip(cpus, memories, wishes, strict=True))
    ]


def _parts(chance: random.Random, whole: int, count: int) -> list[int]:
    """Split a number into parts of very different sizes, none of them 0."""
    weights = [chance.lognormvariate(0, 0.9) for _ in range(count)]
    found = [1 + int((whole - count) * weight / sum(weights)) for weight in weights]
    found[chance.randrange(count)] += whole - sum(found)
    return found


def _workload(chance: random.Random, name: str, full: float, *, mixed: bool) -> tuple[Item, int]:
    """A kind of pod of which about this many fill a node, and the number of its replicas."""
    cpu, memory = room(1)
    size, lean = chance.lognormvariate(-0.3, 0.8) / full, 2 ** chance.gauss(0, _LEAN)
    steps = [max(1, int(cpu * size * lean / _CPU_STEP)), max(1, int(memory * size / lean / _MEMORY_STEP))]
    wish = chance.choices(("", SPREAD, APART, ZONAL), (65, 15, 10, 10))[0] if mixed else ""
    return Item(name, steps[0] * _CPU_STEP, steps[1] * _MEMORY_STEP, wish), chance.choice(_REPLICAS)


def _place(chance: random.Random, item: Item, where: list[Site], replicas: int) -> int:
    """Put the replicas of a workload on nodes. Returns how many had room."""
    order = list(ZONES)
    chance.shuffle(order)
    placed: list[Site] = []
    for number in range(replicas):
        for _ in range(_TRIES):
            site = chance.choice(where)
            if (item.wish != SPREAD or site.zone == order[number % 3]) and site.takes(item):
                site.put(item)
                placed.append(site)
                break
        else:
            break
    if len(placed) == 1:
        placed.pop().take_off(item)  # a single replica holds its node
    return len(placed)


def _hold(chance: random.Random, places: list[Site]) -> None:
    """Make some pods single replicas, and forbid the removal of some nodes."""
    for site in chance.sample(places, math.ceil(_HELD * len(places))):
        movable = [item for item in site.items if not item.wish]
        if movable:
            item = chance.choice(movable)
            site.take_off(item)
            site.put(item._replace(name=f"{item.name}-{site.name}", wish=SINGLE))
    for site in chance.sample(places, math.ceil(_KEPT * len(places))):
        site.kept = True


def _scatter(chance: random.Random, full: list[Site], empty: list[Site], part: float) -> None:
    """Move a part of the pods to empty nodes of the same zone and pool."""
    for site in full:
        others = [other for other in empty if (other.zone, other.pool) == (site.zone, site.pool)]
        for item in list(site.items) if others else ():
            if chance.random() >= part or item.wish == SINGLE:
                continue
            tried = (chance.choice(others) for _ in range(_TRIES))
            there = next((other for other in tried if other.takes(item)), None)
            if there is not None:
                site.take_off(item)
                there.put(item)


def _shuffled(chance: random.Random, places: list[Site], *, mixed: bool) -> Cluster:
    """The objects, with nodes in random order, as in a real cluster."""
    order = list(places)
    chance.shuffle(order)
    return made(chance, order, mixed=mixed)
