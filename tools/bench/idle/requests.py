"""The requests of our pods in an audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from tools.auditlog.events import Event, read

Requests = Counter[str]
"""Answered requests by kind, as `update leases`. A watch is one request, counted when it ends."""

POD_LIST = "list pods"


def by_pod(lines: Iterable[bytes], pods: Iterable[str]) -> dict[str, Requests]:
    """Count requests.

    Args:
        lines: of an audit log of level Metadata.
        pods: names of pods whose tokens were used.

    Returns:
        The requests of each pod.
    """
    found = {name: Requests() for name in pods}
    for event in read(lines):
        if event.pod in found:
            found[event.pod][_kind(event)] += 1
    return found


def writes(requests: Mapping[str, Requests]) -> list[str]:
    """The kinds of writes, without renewals of Leases, which never end."""
    quiet = ("get", "list", "watch")
    kinds = {kind for each in requests.values() for kind in each}
    return sorted(kind for kind in kinds if not kind.startswith(quiet) and not kind.endswith(" leases"))


def _kind(event: Event) -> str:
    resource = "/".join(filter(None, (event.resource, event.subresource)))
    return f"{event.verb} {resource}"
