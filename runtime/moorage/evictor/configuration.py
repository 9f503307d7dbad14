"""Settings and rules of the ConfigMap and of the EvictorConfig, after their schemas were checked.

The fields of the resource take precedence, one by one. Its rules replace those of the ConfigMap as soon as it has the
key for them, be it empty: rules of both are never mixed, because their order decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from moorage.drain.settings import Settings as Drains
from moorage.files import prices as price_list
from moorage.files.nulls import without_nulls
from moorage.objects import quantity
from moorage.ops.settings import CompactionSettings

from . import rules
from .candidates import Policy
from .compaction import Prices, Settings
from .durations import duration

_OF_POLICY = {"aggressiveMode": "aggressive", "scopedMode": "scoped", "windows": "windows"}
_OF_CHOICE = {
    "maxTargetNodesPerCycle": "most",
    "minTargetNodesPerCycle": "least",
    "targetNodePercentage": "percentage",
    "arm64Supported": "arm64",
}
_OF_DRAINS = {
    "drainTimeout": "drain_timeout",
    "drainRollbackTimeout": "rollback_timeout",
    "podEvictionFailureBackOff": "eviction_back_off",
}
_OF_PRICES = {"baseCPUCost": "cpu", "baseMemCost": "memory", "spotDiscount": "spot_discount"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The effective configuration.

    Attributes:
        enabled: whether the evictor does anything.
        policy: settings of candidates.
        choice: which of those go.
        interval: time between two cycles.
        dry_run: whether nodes are only reported, and not emptied.
        drains: how nodes are emptied.
        pod_events: whether pods get an Event when their node is emptied (emitNodeRelatedPodEvents).
    """

    enabled: bool = True
    policy: Policy = field(default_factory=Policy)
    choice: Settings = field(default_factory=Settings)
    interval: timedelta = timedelta(minutes=1)
    dry_run: bool = True
    drains: Drains = field(default_factory=Drains)
    pod_events: bool = False


def of_settings(settings: CompactionSettings) -> Configuration:
    """Return the configuration of the chart's values, or of the flags."""
    return Configuration(
        settings.evictor_enabled,
        Policy(
            aggressive=settings.aggressive_mode,
            scoped=settings.scoped_mode,
            node_grace_period=timedelta(minutes=settings.node_grace_period_minutes),
            drain_timeout=timedelta(seconds=settings.drain_timeout),
            windows=settings.windows,
        ),
        Settings(
            most=settings.max_target_nodes_per_cycle,
            least=settings.min_target_nodes_per_cycle,
            percentage=settings.target_node_percentage,
            utilisation=settings.target_utilization / 100,
            quiet_period=timedelta(seconds=settings.quiet_period),
            spot=settings.allow_spot,
            arm64=settings.arm64_supported,
            owner_window=timedelta(seconds=settings.owner_window),
            prices=Prices(
                cpu=settings.base_cpu_cost, memory=settings.base_mem_cost, spot_discount=settings.spot_discount
            ),
        ),
        timedelta(seconds=settings.cycle_interval),
        settings.dry_run,
        Drains(
            drain_timeout=timedelta(seconds=settings.drain_timeout),
            rollback_timeout=timedelta(seconds=settings.drain_rollback_timeout),
            eviction_back_off=timedelta(seconds=settings.pod_eviction_failure_back_off),
            soft_only=settings.soft_tainting,
            parallel=settings.parallel_drains,
            hand_back_after=timedelta(seconds=settings.empty_node_timeout),
        ),
        settings.emit_node_related_pod_events,
    )


def with_file(configuration: Configuration, content: Any) -> Configuration:
    """Return the configuration with the rules of a rules file.

    Args:
        configuration: what the values say.
        content: of the file: a map with evictionConfig or evictionRules, a list, or nothing.
    """
    found = without_nulls(content)
    lists = found if isinstance(found, Mapping) else {"": found or []}
    read = [rule for key, entries in lists.items() for rule in rules.read(entries, key)]
    return replace(configuration, policy=replace(configuration.policy, rules=tuple(read)))


def with_prices(configuration: Configuration, content: Any) -> Configuration:
    """Return the configuration with the prices of a price list.

    Args:
        configuration: what the values say.
        content: of the file: a map with prices, or nothing.
    """
    listed = (without_nulls(content) or {}).get(price_list.LIST, ())
    found = {
        (entry["instanceType"], price_list.capacity(entry) == price_list.SPOT): float(entry["pricePerHour"])
        for entry in listed
    }
    choice = configuration.choice
    return replace(configuration, choice=replace(choice, prices=replace(choice.prices, per_hour=found)))


def with_resource(configuration: Configuration, content: Mapping[str, Any]) -> Configuration:
    """Return the configuration with the content of the EvictorConfig.

    Args:
        configuration: what values and file say.
        content: the resource.
    """
    spec = without_nulls(content)["spec"]
    config = spec.get("config", {})
    changes = {name: config[key] for key, name in _OF_POLICY.items() if key in config}
    if "nodeGracePeriodMinutes" in config:
        changes["node_grace_period"] = timedelta(minutes=config["nodeGracePeriodMinutes"])
    if "drainTimeout" in config:
        changes["drain_timeout"] = duration(config["drainTimeout"])
    if "evictionRules" in spec:
        changes["rules"] = rules.read(spec["evictionRules"], "spec.evictionRules")
    interval = duration(config["cycleInterval"]) if "cycleInterval" in config else None
    return Configuration(
        spec.get("enabled", configuration.enabled),
        replace(configuration.policy, **changes),
        _chosen_by(configuration.choice, config),
        configuration.interval if interval is None else interval,
        config.get("dryRun", configuration.dry_run),
        _drained_by(configuration.drains, config),
        config.get("emitNodeRelatedPodEvents", configuration.pod_events),
    )


def _drained_by(drains: Drains, config: Mapping[str, Any]) -> Drains:
    changes: dict[str, Any] = {name: duration(config[key]) for key, name in _OF_DRAINS.items() if key in config}
    return replace(drains, soft_only=config.get("softTainting", drains.soft_only), **changes)


def _chosen_by(choice: Settings, config: Mapping[str, Any]) -> Settings:
    changes: dict[str, Any] = {name: config[key] for key, name in _OF_CHOICE.items() if key in config}
    model = config.get("pricingModel", {})
    prices: dict[str, Any] = {
        name: float(quantity.parse(model[key])) for key, name in _OF_PRICES.items() if key in model
    }
    return replace(choice, **changes, prices=replace(choice.prices, **prices))
