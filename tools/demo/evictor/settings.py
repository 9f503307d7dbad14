"""The evictor's settings in the demo, for the report and the program: the chart's, with shorter times."""

from __future__ import annotations

from .manifests import NAMESPACE

_OURS: dict[str, tuple[str, str]] = {
    "target-node-percentage": ("targetNodePercentage", "100"),
    "max-target-nodes-per-cycle": ("maxTargetNodesPerCycle", "40"),
    "node-grace-period-minutes": ("nodeGracePeriodMinutes", "0"),
    "quiet-period": ("quietPeriod", "0s"),
}
"""Flags that a report also has: values by their names in the chart."""
_ACTING: dict[str, tuple[str, str]] = {
    "dry-run": ("dryRun", "false"),
    "cycle-interval": ("cycleInterval", "5s"),
}
CONSOLIDATE_AFTER = "2s"
"""The NodePool's setting while the evictor runs."""


def report_flags() -> list[str]:
    """Flags of ``moorage evictor --once``."""
    return [f"--namespace={NAMESPACE}", *(f"--{flag}={value}" for flag, (_, value) in _OURS.items())]


def service_flags() -> list[str]:
    """Flags of ``moorage evictor`` in the cluster. There is one replica, so it needs no leader election."""
    acting = [f"--{flag}={value}" for flag, (_, value) in _ACTING.items()]
    others = ["--leader-election=false", "--pod-name=castai-evictor-demo", "--health-address=127.0.0.1:0"]
    return [*report_flags(), *acting, *others, "--log-format=json"]


def told() -> str:
    """The settings that differ from the chart, as a sentence."""
    values = ", ".join(f"{name} {value}" for name, value in (_OURS | _ACTING).values())
    return f"{values}; NodePool consolidateAfter {CONSOLIDATE_AFTER}, budgets 100 %"
