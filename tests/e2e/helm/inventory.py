"""All objects of a cluster, to compare before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

_PATIENCE = 30.0

Key = tuple[str, str, str]
"""Kind, namespace (empty for cluster-scoped objects) and name."""

_SELF_CHANGING = {"events", "componentstatuses"}
"""Events go after an hour by themselves."""


def inventory(cluster: ClusterHandle) -> dict[Key, Mapping[str, Any]]:
    """Every object of every kind that can be listed, in its preferred version."""
    found: dict[Key, Mapping[str, Any]] = {}
    for path, resource in _resources(cluster):
        for item in _items(cluster, path):
            meta = item["metadata"]
            found[resource["kind"], meta.get("namespace", ""), meta["name"]] = item
    return found


def _items(cluster: ClusterHandle, path: str) -> list[Mapping[str, Any]]:
    """The objects of a kind; none when its definition has just gone."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            items: list[Mapping[str, Any]] = cluster.api.get(path)["items"]
        except ApiError as error:
            if error.status == 404:
                return []
            # A definition that has just come: "storage is (re)initializing".
            if error.status not in (429, 503) or time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return items


def _resources(cluster: ClusterHandle) -> Iterator[tuple[str, Mapping[str, Any]]]:
    groups = cluster.api.get("/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for root in roots:
        for resource in cluster.api.get(root)["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"] and resource["name"] not in _SELF_CHANGING:
                yield f"{root}/{resource['name']}", resource


def names(objects: Mapping[Key, object], kind: str) -> set[str]:
    """Names of all objects of a kind."""
    return {name for each, _, name in objects if each == kind}


def changed(
    before: Mapping[Key, Mapping[str, Any]],
    after: Mapping[Key, Mapping[str, Any]],
    what: Callable[[Mapping[str, Any]], object],
) -> list[Key]:
    """Which objects are not as they were, as seen through `what`; those that came or went included."""
    seen = [{key: what(item) for key, item in objects.items()} for objects in (before, after)]
    return sorted(key for key in before.keys() | after.keys() if seen[0].get(key) != seen[1].get(key))
