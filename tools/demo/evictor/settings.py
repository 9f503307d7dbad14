"""How the demo sets the evictor: as its chart does, but for what a short run needs; both the report and the program."""

from __future__ import annotations

from .manifests import NAMESPACE

_OURS: dict[str, tuple[str, str]] = {
    "target-node-percentage": ("targetNodePercentage", "100"),
    "max-target-nodes-per-cycle": ("maxTargetNodesPerCycle", "40"),
    "node-grace-period-minutes": ("nodeGracePeriodMinutes", "0"),
    "quiet-period": ("quietPeriod", "0s"),
}
"""Flags that a look has as well: their names as values of the chart, and what they are."""
_ACTING: dict[str, tuple[str, str]] = {
    "dry-run": ("dryRun", "false"),
    "cycle-interval": ("cycleInterval", "5s"),
}
CONSOLIDATE_AFTER = "2s"
"""Of the NodePool, while the evictor runs."""


def report_flags() -> list[str]:
    """Flags of ``moorage evictor --once``."""
    return [f"--namespace={NAMESPACE}", *(f"--{flag}={value}" for flag, (_, value) in _OURS.items())]


def service_flags() -> list[str]:
    """Flags of ``moorage evictor`` in the cluster; there is one replica, which needs no leader."""
    acting = [f"--{flag}={value}" for flag, (_, value) in _ACTING.items()]
    others = ["--leader-election=false", "--pod-name=castai-evictor-demo", "--health-address=127.0.0.1:0"]
    return [*report_flags(), *acting, *others, "--log-format=json"]


def told() -> str:
    """What is not as the chart has it, for people."""
    values = ", ".join(f"{name} {value}" for name, value in (_OURS | _ACTING).values())
    return f"{values}; NodePool consolidateAfter {CONSOLIDATE_AFTER}, budgets 100 %"
