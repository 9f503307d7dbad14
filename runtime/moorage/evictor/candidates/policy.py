"""The settings that decide which nodes may be emptied."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moorage.evictor.rules import Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of the chart's values or of the EvictorConfig; the defaults are those of the values.

    Attributes:
        aggressive: aggressiveMode.
        scoped: scopedMode.
        node_grace_period: how long a node must exist (nodeGracePeriodMinutes).
        drain_timeout: how long emptying a node may take (drainTimeout).
        windows: whether Windows nodes are emptied, too.
        rules: the advanced rules, in their order.
        installation: name of this installation in marks of drains; empty: every mark counts as its own.
    """

    aggressive: bool = False
    scoped: bool = False
    node_grace_period: timedelta = timedelta(minutes=5)
    drain_timeout: timedelta = timedelta(minutes=10)
    windows: bool = False
    rules: tuple[Rule, ...] = ()
    installation: str = ""
