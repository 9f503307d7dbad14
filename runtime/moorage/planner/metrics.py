"""Metrics of the planner."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

PLAN_VALID = Gauge(
    "moorage_planner_plan_valid",
    "Whether the plan file is valid (1) or not (0). If not, the planner serves the last valid plan.",
)
PLAN_LOADS = Counter("moorage_planner_plan_loads_total", "Versions of the plan file that were read.", ["result"])
PINNERS = Gauge("moorage_planner_pinners", "Pod pinners that are connected.")
REBALANCINGS = Counter(
    "moorage_planner_rebalancings_total", "Stages that rebalancings have reached; the last three are final.", ["stage"]
)
EVICTIONS = Counter("moorage_planner_evictions_total", "Evictions that were requested, by result.", ["result"])
CERTIFICATE_ENDS = Gauge(
    "moorage_planner_certificate_expiry_timestamp_seconds", "When the serving certificate ends (Unix time)."
)
