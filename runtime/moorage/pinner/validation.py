"""Whether a promise makes a Node that the API server would take and a machine could keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from moorage.objects import Taint
from moorage.objects.quantity import QuantityError, parse
from moorage.protocol import ExpectPods, Promise, ReasonCode, Slot

from .refusal import Refusal

MAX_NAME = 253
MAX_ENTRIES = {"allocatable": 64, "labels": 256, "taints": 64}
MAX_PROVIDER_ID = 1024
REQUIRED = ("cpu", "memory", "pods")

LIMITS = {"cpu": 10**5, "memory": 2**50, "pods": 10**4}
"""What no machine has: 100,000 cores, a pebibyte, 10,000 pods; anything else is capped like memory."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def refuse_name(name: str) -> Refusal | None:
    """Why this cannot be a Node's name, or None."""
    if 0 < len(name) <= MAX_NAME and _SUBDOMAIN.fullmatch(name):
        return None
    shown = name if len(name) <= 80 else name[:77] + "…"
    return Refusal(ReasonCode.INVALID_NODE_NAME, f"{shown!r} is not a node's name: an RFC 1123 subdomain is needed")


def refuse_promise(promise: Promise) -> Refusal | None:
    """Why a promise cannot be kept by any machine, or None; the sentence names the field."""
    return (
        _refuse_sizes(promise)
        or _refuse_amounts(promise.allocatable)
        or _refuse_labels(promise.labels)
        or _refuse_taints("taints", promise.taints)
        or _refuse_taints("startup_taints", promise.startup_taints)
        or _refuse_provider_id(promise.provider_id)
    )


def refuse_slots(action: ExpectPods) -> Refusal | None:
    """Why expected pods make no sense, or None."""
    for slot in action.slots:
        refusal = _refuse_slot(slot)
        if refusal is not None:
            return refusal
    return None


def _refuse_slot(slot: Slot) -> Refusal | None:
    if not slot.owner.kind or not slot.owner.name or not slot.owner.namespace:
        return Refusal(ReasonCode.MALFORMED, "a slot's owner needs kind, namespace and name")
    if not 1 <= slot.count <= 10_000:
        return Refusal(ReasonCode.INVALID_QUANTITY, f"a slot expects {slot.count} pods; 1 to 10000 are possible")
    return _refuse_quantities("requests", slot.requests)


def _refuse_sizes(promise: Promise) -> Refusal | None:
    sizes = (
        ("allocatable", len(promise.allocatable), MAX_ENTRIES["allocatable"]),
        ("labels", len(promise.labels), MAX_ENTRIES["labels"]),
        ("taints", len(promise.taints), MAX_ENTRIES["taints"]),
        ("startup_taints", len(promise.startup_taints), MAX_ENTRIES["taints"]),
    )
    for field, size, limit in sizes:
        if size > limit:
            return Refusal(ReasonCode.TOO_LARGE, f"{field} has {size} entries, more than {limit}")
    return None


def _refuse_amounts(allocatable: Mapping[str, str]) -> Refusal | None:
    missing = [name for name in REQUIRED if name not in allocatable]
    if missing:
        return Refusal(ReasonCode.INVALID_QUANTITY, f"allocatable says nothing of {', '.join(missing)}")
    return _refuse_quantities("allocatable", allocatable)


def _refuse_quantities(field: str, quantities: Mapping[str, str]) -> Refusal | None:
    for name, text in quantities.items():
        if not _qualified(name):
            return Refusal(ReasonCode.INVALID_METADATA, f"{field}: {name!r} is not a resource's name")
        try:
            amount = parse(text)
        except QuantityError as error:
            return Refusal(ReasonCode.INVALID_QUANTITY, f"{field}[{name}]: {error}")
        if amount < 0:
            return Refusal(ReasonCode.INVALID_QUANTITY, f"{field}[{name}]: {text!r} is negative")
        if amount > LIMITS.get(name, LIMITS["memory"]):
            return Refusal(ReasonCode.INVALID_QUANTITY, f"{field}[{name}]: no machine has {text!r}")
        if name == "pods" and amount.denominator != 1:
            return Refusal(ReasonCode.INVALID_QUANTITY, f"{field}[pods]: {text!r} is not a whole number")
    return None


def _refuse_labels(labels: Mapping[str, str]) -> Refusal | None:
    for key, value in labels.items():
        if not _qualified(key):
            return Refusal(ReasonCode.INVALID_METADATA, f"{key!r} is not a label's key")
        if not _VALUE.fullmatch(value):
            return Refusal(ReasonCode.INVALID_METADATA, f"label {key}: {value[:80]!r} is not a label's value")
    return None


def _refuse_taints(field: str, taints: Iterable[Taint]) -> Refusal | None:
    seen: set[tuple[str, str]] = set()
    for taint in taints:
        if not _qualified(taint.key):
            return Refusal(ReasonCode.INVALID_METADATA, f"{field}: {taint.key!r} is not a taint's key")
        if not _VALUE.fullmatch(taint.value):
            return Refusal(ReasonCode.INVALID_METADATA, f"{field}: {taint.value[:80]!r} is not a taint's value")
        if taint.effect not in _EFFECTS:
            return Refusal(ReasonCode.INVALID_METADATA, f"{field}: {taint.effect!r} is none of {', '.join(_EFFECTS)}")
        if (taint.key, taint.effect) in seen:
            return Refusal(ReasonCode.INVALID_METADATA, f"{field}: {taint.key}:{taint.effect} stands there twice")
        seen.add((taint.key, taint.effect))
    return None


def _refuse_provider_id(provider_id: str) -> Refusal | None:
    if len(provider_id) > MAX_PROVIDER_ID or any(c.isspace() or not c.isprintable() for c in provider_id):
        return Refusal(ReasonCode.INVALID_METADATA, f"{provider_id[:80]!r} is not a provider id")
    return None


def _qualified(key: str) -> bool:
    """A qualified name: an optional DNS subdomain, a slash, and up to 63 characters."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (0 < len(prefix) <= MAX_NAME and _SUBDOMAIN.fullmatch(prefix)):
        return False
    return _NAME.fullmatch(name) is not None
