"""The metrics of the evictor; they are labelled by reason and unit, never by the name of an object.

The first two have the names of the closed product. At the end of a term the figures are reset, so that two replicas
do not both report nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from .compaction import Plan

TARGET_NODES = Gauge("castai_evictor_node_target_count", "Nodes that can be emptied together.")
TARGET_PODS = Gauge("castai_evictor_pod_target_count", "Pods that would move for that.")
KEPT = Gauge("moorage_evictor_nodes_kept", "Nodes that stay, under each reason that keeps them.", ["reason"])
HOLDING = Gauge("moorage_evictor_pods_holding", "Pods that hold their nodes, under the weightiest reason.", ["reason"])
FREED = Gauge("moorage_evictor_freed", "What the nodes that could go cost, by the hour or in units.", ["unit"])
TOTAL = Gauge("moorage_evictor_total", "What all nodes cost, by the hour or in units.", ["unit"])
SECONDS = Histogram(
    "moorage_evictor_cycle_seconds",
    "How long looking at the whole cluster takes.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
CYCLES = Counter("moorage_evictor_cycles_total", "Cycles by what became of them.", ["result"])
VALID = Gauge(
    "moorage_evictor_configuration_valid",
    "Whether settings, rules and prices can be used as they stand (1); 0: the last good ones stay in force.",
)
VALID.set(1)  # until a mistake is found
EVICTIONS = Counter(
    "moorage_evictor_evictions_total", "Evictions that were asked for, by what became of them.", ["result"]
)
DRAINS = Counter("moorage_evictor_drains_total", "Nodes by what became of emptying them.", ["result"])
DRAINING = Gauge("moorage_evictor_draining", "Nodes that are being emptied.")
REPLACEMENTS = Counter(
    "moorage_evictor_replacements_total",
    "Replacements of evicted pods by where they came to: the node where they were simulated, or another.",
    ["place"],
)
_OF_A_TERM = (KEPT, HOLDING, FREED, TOTAL)


def show(plan: Plan, kept: Mapping[str, int], holding: Mapping[str, int]) -> None:
    """Set the metrics of a cycle, and reset those of the cycle before.

    Args:
        plan: what could go.
        kept: nodes by reason.
        holding: pods by reason.
    """
    clear()
    TARGET_NODES.set(len(plan.chosen))
    TARGET_PODS.set(plan.moved)
    for gauge, counts in ((KEPT, kept), (HOLDING, holding)):
        for reason, count in counts.items():
            gauge.labels(reason).set(count)
    FREED.labels(plan.unit.value).set(plan.freed)
    TOTAL.labels(plan.unit.value).set(plan.total)


def clear() -> None:
    """Reset the metrics."""
    TARGET_NODES.set(0)
    TARGET_PODS.set(0)
    DRAINING.set(0)
    for gauge in _OF_A_TERM:
        gauge.clear()
