"""What the planner counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

PLAN_VALID = Gauge(
    "moorage_planner_plan_valid", "Whether the plan file is a plan as it stands (1); 0: the one before it is served."
)
PLAN_LOADS = Counter("moorage_planner_plan_loads_total", "Versions of the plan file that were looked at.", ["result"])
PINNERS = Gauge("moorage_planner_pinners", "Pod pinners that are connected.")
REBALANCINGS = Counter(
    "moorage_planner_rebalancings_total", "Stages that rebalancings have come to; the last three are ends.", ["stage"]
)
EVICTIONS = Counter(
    "moorage_planner_evictions_total", "Evictions that were asked for, by what became of them.", ["result"]
)
CERTIFICATE_ENDS = Gauge(
    "moorage_planner_certificate_expiry_timestamp_seconds", "When the certificate that is served ends (Unix time)."
)
