"""What the pinner counts; labelled by kind and reason, never by the name of an object."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PINS = Counter(
    "moorage_pinner_pins_total", "Pods that were to be pinned, by what became of them.", ["outcome", "reason"]
)
PLACEHOLDERS = Gauge("moorage_pinner_nodes", "Reserved nodes by state.", ["state"])
LATENCY = Histogram(
    "moorage_pinner_pin_latency_seconds",
    "From an instruction's receipt to the pod being bound.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
SWEPT = Counter("moorage_pinner_swept_pods_total", "Failed pods deleted so that their controllers try again.")
FAILURES = Counter(
    "moorage_pinner_failures_total", "Looks at a node that failed and are tried again, by error.", ["error"]
)
QUEUED = Gauge("moorage_pinner_queued_nodes", "Nodes waiting to be looked at.")
LEASES = Counter("moorage_pinner_lease_renewals_total", "Renewals of placeholders' Leases, by outcome.", ["outcome"])
ADMITTED = Counter(
    "moorage_pinner_admitted_pods_total", "Pods that the webhook was asked about, by what became of them.", ["outcome"]
)
REPLACEMENTS = Counter(
    "moorage_pinner_replacements_total",
    "Pods that were created and expected on a node that runs (SlotReservation): hard pinned to it, softly steered, or "
    "left to the scheduler, and why not more.",
    ["way", "reason"],
)
CERTIFICATE_ENDS = Gauge(
    "moorage_pinner_certificate_expiry_timestamp_seconds", "When the webhook's certificate ends (Unix time)."
)
