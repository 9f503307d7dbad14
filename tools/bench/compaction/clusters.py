"""Seeded clusters to compact: of some the best compaction is known, because it was there first; others are random.

*Planted*: a node's worth of pods is a recipe: as many kinds of pods as add up to exactly what a node has. Every node
that stays is filled with one, then a part of its pods is taken off and put on nodes that were empty. So all nodes are
about equally full, and the nodes that were empty can be emptied again, whatever a program makes of it.

*Random*: workloads that want much CPU or much memory, their replicas wherever there was room, as on a cluster whose
scheduler spreads. What can go at most is said by a bound (``bound``).

*Mixed* ones have pods that keep even over zones, apart from each other, in a pool or a zone, PodDisruptionBudgets,
single replicas, which hold their nodes, and nodes that nobody may remove.
"""

from __future__ import annotations

import math
import random

from .objects import Cluster, made
from .sites import APART, SINGLE, SPREAD, ZONAL, ZONES, Item, Site, room, sites

__all__ = ["Cluster", "planted", "randomly"]

_RECIPES = 30
"""For each pool and size at most."""
_CPU_STEP, _MEMORY_STEP = 10, 16
_TRIES = 30
_LEAN = 0.8
"""How differently much CPU workloads want for their memory: powers of two."""
"""How many nodes are tried for a pod."""
_HELD, _KEPT = 0.05, 0.03
"""The parts of nodes that have a single replica, and that nobody may remove."""
_MORE = 1.2
"""So many more pods would fill a node, because the last ones fit nowhere."""
_REPLICAS = (2, 3, 3, 5, 8, 12, 20, 40)


def planted(nodes: int, seed: int, *, mixed: bool = False, free: float = 0.4, pods: int = 30) -> Cluster:
    """A cluster of which a part can go.

    Args:
        nodes: how many nodes; zones are even with a multiple of three.
        seed: what makes it this one.
        mixed: whether pods mind zones, nodes and each other, and some may not move.
        free: what part of the nodes was empty.
        pods: about how many pods fill a node.
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
    """A cluster of which nobody knows how much can go.

    Args:
        nodes: how many nodes.
        seed: what makes it this one.
        mixed: whether pods mind zones, nodes and each other, and some may not move.
        load: how full it is at most.
        pods: how many pods are on a node at most.
    """
    chance = random.Random(f"{nodes} {seed} {mixed} random")
    places = sites(nodes, mixed=mixed)
    pools: dict[tuple[str, str], list[Site]] = {}
    for site in places:
        # How full it gets: of some the CPU is used up, of others the memory. Nobody gets the rest.
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
    """Kinds of pods that fill a node to the last core and byte."""
    count = chance.randint(pods * 2 // 3, pods * 4 // 3)
    cpu, memory = room(size)
    cpus, memories = _parts(chance, cpu // _CPU_STEP, count), _parts(chance, memory // _MEMORY_STEP, count)
    wishes = chance.choices(("", SPREAD, APART), (75, 15, 10), k=count) if mixed else [""] * count
    return [
        Item(f"{name}-{place}", cpu * _CPU_STEP, memory * _MEMORY_STEP, wish)
        for place, (cpu, memory, wish) in enumerate(zip(cpus, memories, wishes, strict=True))
    ]


def _parts(chance: random.Random, whole: int, count: int) -> list[int]:
    """A number in parts of very different sizes, none of them nothing."""
    weights = [chance.lognormvariate(0, 0.9) for _ in range(count)]
    found = [1 + int((whole - count) * weight / sum(weights)) for weight in weights]
    found[chance.randrange(count)] += whole - sum(found)
    return found


def _workload(chance: random.Random, name: str, full: float, *, mixed: bool) -> tuple[Item, int]:
    """A kind of pod of which about so many fill a node, and how many replicas there are to be."""
    cpu, memory = room(1)
    size, lean = chance.lognormvariate(-0.3, 0.8) / full, 2 ** chance.gauss(0, _LEAN)
    steps = [max(1, int(cpu * size * lean / _CPU_STEP)), max(1, int(memory * size / lean / _MEMORY_STEP))]
    wish = chance.choices(("", SPREAD, APART, ZONAL), (65, 15, 10, 10))[0] if mixed else ""
    return Item(name, steps[0] * _CPU_STEP, steps[1] * _MEMORY_STEP, wish), chance.choice(_REPLICAS)


def _place(chance: random.Random, item: Item, where: list[Site], replicas: int) -> int:
    """Put the replicas of a workload on nodes; returns for how many there was room."""
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
        placed.pop().take_off(item)  # a single replica would hold its node
    return len(placed)


def _hold(chance: random.Random, places: list[Site]) -> None:
    """Make single replicas of some pods, and let nobody remove some nodes."""
    for site in chance.sample(places, math.ceil(_HELD * len(places))):
        movable = [item for item in site.items if not item.wish]
        if movable:
            item = chance.choice(movable)
            site.take_off(item)
            site.put(item._replace(name=f"{item.name}-{site.name}", wish=SINGLE))
    for site in chance.sample(places, math.ceil(_KEPT * len(places))):
        site.kept = True


def _scatter(chance: random.Random, full: list[Site], empty: list[Site], part: float) -> None:
    """Take a part of the pods off nodes, and put them on empty ones of the same zone and pool."""
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
    """The objects, with nodes in random order, as they come and go."""
    order = list(places)
    chance.shuffle(order)
    return made(chance, order, mixed=mixed)
