"""Checks values files of the closed product, whose keys have other consequences in our charts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .mistakes import Mistake, Path
from .schemas import Schema
from .yamlfile import Document

PINNER = "castai-pod-pinner"

KEYS: tuple[Path, ...] = (
    ("planner", "apiKeySecretRef", "name"),
    ("castai", "apiKey"),
    ("castai", "apiKeySecretRef"),
    ("global", "castai", "apiKeySecretRef"),
)
"""The keys for an API key, in the order in which the chart uses them. All but the first are values of the closed chart.
"""
ADDRESSES: tuple[Path, ...] = (("planner", "address"), ("castai", "grpcURL"), ("global", "castai", "grpcURL"))
THEIR_SECRETS = re.compile(
    r"castai-(agent|cluster-controller|evictor|kvisor|pod-pinner|spot-handler|workload-autoscaler)"
)
THEIR_ADDRESSES = re.compile(r"(^|[.])cast[.]ai[.]?(:|$)", re.IGNORECASE)
IN_SOME_NAMESPACE = re.compile(
    r"([a-z]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?([.]svc([.]cluster[.]local[.]?)?)?)?"
    r"|127[.][0-9.]+|\[::1\])",
    re.IGNORECASE,
)


def zero_replicas(schema: Schema, document: Document) -> Iterator[Mistake]:
    """Keys that scale a service to zero. Onboarding scripts set them for a service that is scaled up later."""
    warnings = nothing_runs(schema["properties"].get("replicas", {}).get("x-default"))
    for key, sentence in warnings.items():
        value = _get(document.value, (key,))
        if key in schema["properties"] and value in (0, False) and isinstance(value, bool) == (key == "deploy"):
            yield document.mistake((key,), f"{key}: {sentence}")


def nothing_runs(default: int) -> dict[str, str]:
    """The keys that scale to zero, by 0 or by false, each with its warning.

    Args:
        default: the number of replicas without the key.
    """
    why = f"means that NOTHING RUNS, and nobody scales it up later; without it {default} would run"
    refused = f"{why}. Where replicas run now, the chart refuses it until replicas is 0 too"
    return {"replicas": f"0 {why}", "replicaCount": f"0 {refused}", "deploy": f"false {refused}"}


def keys_that_leave(document: Document) -> Iterator[Mistake]:
    """An API key of the closed product together with a planner outside this cluster's namespaces."""
    key, address = _closed_key(document.value), _address(document.value)
    if key is None or address is None or _get(document.value, ("planner", "allowClosedKey")) is True:
        return
    host = str(_get(document.value, address)).rpartition(":")[0]
    if IN_SOME_NAMESPACE.fullmatch(host) is None:
        yield document.mistake(key, f"{key[-1]}: {not_shown(host)}")


def not_shown(host: str) -> str:
    """The text about an API key that would leave the cluster.

    Args:
        host: the planner's host.
    """
    return (
        f"a key that was made for the closed product is not shown to {host}, which is outside the release's namespace; "
        "name a Secret with a key of its own in planner.apiKeySecretRef.name instead, or set "
        "planner.allowClosedKey: true"
    )


def shown_keys(document: Document) -> Iterator[Mistake]:
    """An API key of the closed product that is sent to planners."""
    key = _closed_key(document.value)
    if key is not None:
        yield document.mistake(
            key,
            f"{key[-1]}: was made for the closed product, and planners are shown it; a fresh one is better. Without it "
            "the one counts that the chart moorage-planner makes",
        )


def _closed_key(value: Any) -> Path | None:
    """The key from which the API key comes, if that is one of the closed product; else None."""
    for path in KEYS:
        if found := _get(value, path):
            ours = path == KEYS[0] and not THEIR_SECRETS.fullmatch(str(found))
            return None if ours else path
    return None


def _address(value: Any) -> Path | None:
    """The planner's address in effect; None when there is none."""
    for path in ADDRESSES:
        found = _get(value, path)
        if found and (path == ADDRESSES[0] or not THEIR_ADDRESSES.search(str(found))):
            return path
    return None


def _get(value: Any, path: Path) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
