"""Advanced rules: pods and nodes that are treated differently.

A rule is about pods, or about nodes and the pods on them. The first matching rule with a setting decides that setting,
so a rule with ``false`` is an exception from the rules below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from moorage.objects import Labels
from moorage.objects.selectors import LabelSelector
from moorage.scheduling.selectors import EVERYTHING, Selector, label_selector


class Setting(Enum):
    """What a rule can set."""

    REMOVAL_DISABLED = "removalDisabled"
    DISPOSABLE = "disposable"
    AGGRESSIVE = "aggressive"


FORCE = "forceDisposable"
"""Counts as disposable; what people have protected themselves stays protected."""


class PodSelector(NamedTuple):
    """A selector of pods; None and 0 leave a part out.

    Attributes:
        labels: of the pod.
        namespace: its namespace.
        kind: of one of its controllers, the direct one or one above it; Pod for pods without any.
        replicas_min: how many replicas its controller wants at least.
    """

    labels: Selector = EVERYTHING
    namespace: str | None = None
    kind: str | None = None
    replicas_min: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; exactly one of ``pods`` and ``nodes`` is set.

    Attributes:
        path: where it stands, for people: ``evictionConfig[3]``.
        pods: the pods it is about.
        nodes: the nodes it is about.
        settings: its settings.
    """

    path: str
    settings: Mapping[Setting, bool]
    pods: PodSelector | None = None
    nodes: Selector | None = None


class Subject(NamedTuple):
    """What rules read of a pod.

    Attributes:
        namespace: its namespace.
        labels: its own.
        kinds: of its controllers.
        replicas: how many its controller wants; None when unknown.
        node_rules: places of the rules that match its node.
    """

    namespace: str
    labels: Labels
    kinds: tuple[str, ...]
    replicas: int | None
    node_rules: frozenset[str]


def read(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[Rule, ...]:
    """Read the rules of a file or resource whose schema was checked.

    Args:
        entries: the rules as they are written, in either spelling of the settings.
        key: under which they stand, for people.
    """
    return tuple(_read(entry, f"{key}[{index}]") for index, entry in enumerate(entries))


def decide(rules: Sequence[Rule], setting: Setting, pod: Subject) -> Rule | None:
    """Return the rule that decides a setting for a pod, or None."""
    for rule in rules:
        if setting in rule.settings and _matches(rule, setting, pod):
            return rule
    return None


def node_rules(rules: Sequence[Rule], labels: Labels) -> frozenset[str]:
    """Return the indices of the rules that match a node with these labels."""
    return frozenset(rule.path for rule in rules if rule.nodes is not None and rule.nodes.matches(labels))


def decide_node(rules: Sequence[Rule], labels: Labels) -> Rule | None:
    """Return the rule that decides whether a node may be removed, or None."""
    for rule in rules:
        if Setting.REMOVAL_DISABLED in rule.settings and rule.nodes is not None and rule.nodes.matches(labels):
            return rule
    return None


def _matches(rule: Rule, setting: Setting, pod: Subject) -> bool:
    wanted = rule.pods
    if wanted is None:
        # That a node is not removed is no matter of its pods: ``decide_node`` has the word.
        return setting is not Setting.REMOVAL_DISABLED and rule.path in pod.node_rules
    if wanted.namespace not in (None, pod.namespace):
        return False
    if wanted.kind is not None and wanted.kind not in (pod.kinds or ("Pod",)):
        return False
    if wanted.replicas_min and not _enough(wanted.replicas_min, pod.replicas, rule.settings[setting], setting):
        return False
    return wanted.labels.matches(pod.labels)


def _enough(least: int, replicas: int | None, value: bool, setting: Setting) -> bool:
    """Whether there are enough replicas; when the number is unknown, the answer protects the pod."""
    if replicas is None:
        return value == (setting is Setting.REMOVAL_DISABLED)
    return replicas >= least


def _read(entry: Mapping[str, Any], path: str) -> Rule:
    pods, nodes = entry.get("podSelector"), entry.get("nodeSelector")
    return Rule(
        path,
        _settings(entry["settings"]),
        _pods(pods) if pods is not None else None,
        _labels(nodes, f"{path}.nodeSelector") if nodes is not None else None,
    )


def _pods(selector: Mapping[str, Any]) -> PodSelector:
    return PodSelector(
        _labels(selector, "podSelector"),
        selector.get("namespace"),
        selector.get("kind"),
        selector.get("replicasMin") or 0,
    )


def _labels(selector: Mapping[str, Any], field: str) -> Selector:
    given = selector.get("labelSelector")
    if given is None:
        return EVERYTHING
    return label_selector(msgspec.convert(given, LabelSelector), f"{field}.labelSelector")


def _settings(given: Mapping[str, Any]) -> dict[Setting, bool]:
    """The settings of a rule in either spelling; ``forceDisposable`` counts as ``disposable``, unless that is false."""
    values = {key: value["enabled"] if isinstance(value, Mapping) else value for key, value in given.items()}
    if values.get(FORCE):
        values.setdefault(Setting.DISPOSABLE.value, True)
    return {setting: values[setting.value] for setting in Setting if setting.value in values}
