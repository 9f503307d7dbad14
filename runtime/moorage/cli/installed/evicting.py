"""An evictor's mode, its last look and its next one, by its Deployment, its EvictorConfig and its metrics; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from moorage.evictor.durations import duration
from moorage.evictor.kinds import EvictorConfig
from moorage.ops.settings import CompactionSettings
from moorage.reservations import moment
from moorage.wording import counted

from ..durations import ago, span
from ..terminal import plain
from .programs import Program

_MATTERS = ("Ready", "ConfigurationValid", "Computed")
"""Conditions that need attention when they are False."""


def facts(program: Program | None, config: EvictorConfig | None, now: datetime) -> Iterator[tuple[str, str]]:
    """What is known of an evictor.

    Args:
        program: its Deployment.
        config: its EvictorConfig, whatever is in it.
        now: the API server's time.
    """
    yield "mode", _mode(program, config)
    last = _map(_map(config.status).get("lastCycle")) if config is not None else {}
    if last:
        nodes, may_go, going = (_count(last, key) for key in ("nodes", "candidates", "going"))
        since = ago(str(last.get("time") or ""), now)
        seen = counted(nodes, "node")
        yield "last look", f"{seen}, {may_go} may go, {going} could go together; first found so {since}"
    elif config is None:
        yield "last look", "cannot be seen: there is no EvictorConfig to write it to"
    else:
        yield "last look", "none yet"
    interval = _interval(program, config)
    then = moment(str(last.get("time") or ""))
    left = interval - (now - then).total_seconds() if then is not None else 0.0
    yield "next", f"in {span(left)}, then every {span(interval)}" if left > 0 else f"within {span(interval)}"


def by_metrics(metrics: Mapping[str, float]) -> str:
    """What the evictor's own metrics say of its last look; an evictor without an EvictorConfig writes no status."""
    going, cycles = (
        metrics.get("castai_evictor_node_target_count", 0.0),
        metrics.get("moorage_evictor_cycles_total", 0.0),
    )
    return f"{counted(going, 'node')} could go together, after {counted(cycles, 'cycle')}"


def problems(config: EvictorConfig | None) -> Iterator[str]:
    """Conditions of an EvictorConfig that say that something is wrong."""
    conditions = _map(config.status).get("conditions") if config is not None else None
    for each in conditions if isinstance(conditions, list) else ():
        condition = _map(each)
        wrong = condition.get("type") in _MATTERS and condition.get("status") == "False"
        if wrong and condition.get("reason") != "Disabled":
            yield f"EvictorConfig: {condition.get('type')} is False: {plain(str(condition.get('message') or ''))}"


def _mode(program: Program | None, config: EvictorConfig | None) -> str:
    """Whether it acts: it does only where release and EvictorConfig both say so."""
    conditions = _map(config.status).get("conditions") if config is not None else None
    reasons = {_map(each).get("reason") for each in conditions} if isinstance(conditions, list) else set()
    disabled = program is not None and program.setting("MOORAGE_EVICTOR_ENABLED") == "false"
    if "Disabled" in reasons or disabled:
        return "switched off: enabled is false"
    chosen = _map(_map(config.spec).get("config")).get("dryRun") if config is not None else None
    released = program.setting("MOORAGE_DRY_RUN") if program is not None else ""
    if chosen is True or released == "true":
        return "dry run: it only says what it would do"
    if released == "false":
        return "acting: nodes that could go are emptied"
    if program is None and chosen is None:
        return "cannot be seen: it runs without a Deployment"
    return "acting: nodes that could go are emptied" if program is None else "dry run: it only says what it would do"


def _interval(program: Program | None, config: EvictorConfig | None) -> float:
    """Seconds between two looks."""
    texts = (
        _map(_map(config.spec).get("config")).get("cycleInterval") if config is not None else None,
        program.setting("MOORAGE_CYCLE_INTERVAL") if program is not None else None,
    )
    for text in texts:
        if isinstance(text, str) and (found := duration(text)) is not None:
            return found.total_seconds()
    return CompactionSettings.cycle_interval


def _count(last: Mapping[str, Any], key: str) -> int:
    found = last.get(key)
    return found if isinstance(found, int) else 0


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
