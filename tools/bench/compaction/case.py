"""A cluster in a process of its own: a whole cycle is measured, then its result is judged."""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from moorage.evictor.candidates import NodeVerdict, Policy, judge
from moorage.evictor.compaction import Cluster, History, Plan, Settings, choose

from . import bound, clusters, first_fit

PLAIN, MIXED = "plain", "mixed"
PLANTED, BOUNDED = "planted", "bounded"
_PODS = 30
"""Average number of pods on a node, including a DaemonSet's."""
_SMALL = 100
LARGER = 9 / 7
"""Average size of a node of a mixed cluster."""
_YOUNG = 20_000
"""The same as in the services (``moorage.ops.aio``)."""
_SETTINGS = Settings(most=None, percentage=100, utilisation=1.0)
"""All nodes may be emptied at once, and nodes may be filled up."""


@dataclass(frozen=True, slots=True)
class Case:
    """The figures of one cluster.

    Attributes:
        nodes: number of nodes.
        pods: number of pods.
        profile: ``plain`` or ``mixed``.
        kind: ``planted`` or ``bounded``.
        seed: seed of the cluster.
        freed: number of nodes that the plan empties.
        freed_cost: their cost.
        bound_cost: the cost that could be freed: for planted clusters the known value, for others an upper bound.
        ratio: freed_cost / bound_cost.
        ffd_ratio: the same for first-fit-decreasing.
        seconds: wall-clock time of a cycle.
        rss_mib: the process's peak memory until then, with the cluster's objects.
    """

    nodes: int
    pods: int
    profile: str
    kind: str
    seed: int
    freed: int
    freed_cost: float
    bound_cost: float
    ratio: float
    ffd_ratio: float
    seconds: float
    rss_mib: float


def main() -> int:
    """Measure a case. The arguments are nodes, profile, kind and seed. The output is a line of JSON."""
    nodes, profile, kind, seed = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    found, cpu = measured(nodes, profile, kind, seed)
    print(json.dumps(asdict(found) | {"cpu_seconds": round(cpu, 3)}))
    return 0


def measured(nodes: int, profile: str, kind: str, seed: int) -> tuple[Case, float]:
    """The figures of a cluster, and the CPU seconds of the cycle."""
    cluster = made(nodes, profile, kind, seed)
    gc.collect()
    began, worked = time.perf_counter(), time.process_time()
    verdicts, plan = cycle(cluster)
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    rss = peak_mib()
    price = _SETTINGS.prices.of(cluster.nodes).of
    if kind == PLANTED:
        most = sum(price[name] for name in cluster.planted)
    else:
        most = bound.freeable(cluster.nodes, cluster.pods, verdicts, price)
    greedy = sum(price[name] for name in first_fit.compact(cluster.snapshot(), cluster.pods, verdicts))
    ratios = round(plan.freed / most, 4), round(greedy / most, 4)
    size = nodes, len(cluster.pods), profile, kind, seed
    return Case(*size, len(plan.chosen), plan.freed, round(most, 1), *ratios, round(seconds, 3), round(rss, 1)), cpu


def made(nodes: int, profile: str, kind: str, seed: int) -> clusters.Cluster:
    """The cluster of a case."""
    mixed = profile == MIXED
    if kind == BOUNDED:
        return clusters.randomly(nodes, seed, mixed=mixed, pods=_PODS - 1)
    # In a small cluster one node is a large part of what can be emptied, so a larger part is made removable.
    free = 0.4 if nodes < _SMALL else 0.3
    full = (_PODS - 1) / (1 - free) / (LARGER if mixed else 1)
    return clusters.planted(nodes, seed, mixed=mixed, free=free, pods=round(full))


def cycle(cluster: clusters.Cluster) -> tuple[dict[str, NodeVerdict], Plan]:
    """A whole cycle with the objects of the caches."""
    view, snapshot = cluster.view(), cluster.snapshot()
    verdicts = judge(view, Policy())
    return verdicts, choose(Cluster(snapshot, view, verdicts), _SETTINGS, History())


def peak_mib() -> float:
    """The peak memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    raise SystemExit(main())
