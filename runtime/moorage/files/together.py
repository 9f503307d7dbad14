"""Values that are valid one by one, and that the API server or the Prometheus operator refuses together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .closed import PINNER
from .mistakes import Mistake, get
from .yamlfile import Document

PLANNER = "moorage-planner"
_KUBELET = 10250
_METRICS = 9091
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_INTERVAL = "30s"
"""The charts' default for ``serviceMonitor.interval``."""


def mistakes(chart: str, document: Document) -> Iterator[Mistake]:
    """What the chart's templates refuse in values that satisfy its schema.

    Args:
        chart: whose values they are.
        document: the values, a map.
    """
    for key, sentence in _sentences(chart, document.value):
        path = tuple(key.split("."))
        yield document.mistake(path, f"{path[-1]}: {sentence}")


def _sentences(chart: str, values: Any) -> Iterator[tuple[str, str]]:
    if get(values, "dnsPolicy") == "None" and not get(values, "dnsConfig.nameservers"):
        yield (
            "dnsPolicy",
            "is None and dnsConfig.nameservers is empty: the pods would find no names; say there who is asked, or "
            "leave dnsPolicy out",
        )
    families = get(values, "service.ipFamilies") or ()
    if get(values, "service.ipFamilyPolicy") == "SingleStack" and len(set(families)) > 1:
        yield (
            "service.ipFamilies",
            "are two and service.ipFamilyPolicy is SingleStack: keep one family, or take another policy",
        )
    timeout = get(values, "serviceMonitor.scrapeTimeout") or ""
    interval = get(values, "serviceMonitor.interval") or _INTERVAL
    if get(values, "serviceMonitor.enabled") and _milliseconds(timeout) > _milliseconds(interval):
        yield (
            "serviceMonitor.scrapeTimeout",
            f"is {timeout} and serviceMonitor.interval is {interval}: the Prometheus operator takes no monitor whose "
            "scrapes may take longer than the time between two",
        )
    if chart == PINNER and get(values, "podSpec.hostNetwork") and get(values, "webhook.port") == _KUBELET:
        yield (
            "webhook.port",
            "is 10250 and podSpec.hostNetwork is true: in the network of a node that port is its kubelet's; take "
            "another port, or leave it out",
        )
    inside = (get(values, "service.type") or "ClusterIP") == "ClusterIP"
    if chart == PLANNER and inside and get(values, "service.port") == _METRICS:
        yield "service.port", "is 9091, where the same Service shows the metrics: take another"


def _milliseconds(duration: str) -> int:
    """A duration of Prometheus."""
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in re.findall(r"([0-9]+)([a-z]+)", duration))
