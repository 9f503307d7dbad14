"""The merge patches of a drained node. Each is one write that includes the mark, so the state is never half known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from moorage.objects import Node, Taint

from .names import DRAIN_ANNOTATION, SOFT_TAINT, Mark, Phase, soft_tainted, written


def chosen(node: Node, by: str, cycle: str, now: datetime) -> dict[str, Any]:
    """Set the mark, and the soft taint if nobody has set it."""
    ours = not soft_tainted(node)
    mark = Mark(by, cycle, Phase.CHOSEN, now, tainted=ours)
    return _patch(node, mark, taint=True if ours else None)


def begun(node: Node, mark: Mark, now: datetime, *, cordon: bool) -> dict[str, Any]:
    """Cordon the node, and record the start of the drain."""
    changed = replace(mark, phase=Phase.DRAINING, since=now, cordoned=cordon)
    return _patch(node, changed, cordon=True if cordon else None)


def emptied(node: Node, mark: Mark, now: datetime) -> dict[str, Any]:
    """Remove our cordon, and keep the soft taint."""
    ours = mark.tainted or not soft_tainted(node)
    changed = replace(mark, phase=Phase.EMPTIED, since=now, tainted=ours, cordoned=False)
    taint = True if ours and not soft_tainted(node) else None
    return _patch(node, changed, taint=taint, cordon=False if mark.cordoned else None)


def given_back(node: Node, mark: Mark, phase: Phase, now: datetime, reason: str) -> dict[str, Any]:
    """Remove our taint and our cordon, and keep the reason."""
    changed = replace(mark, phase=phase, since=now, tainted=False, cordoned=False, reason=reason)
    return _patch(node, changed, taint=False if mark.tainted else None, cordon=False if mark.cordoned else None)


def kept(node: Node, changes: dict[str, Any]) -> bool:
    """Whether the API server's response to a patch shows the wanted state.

    Args:
        node: the response.
        changes: the patch.
    """
    spec = changes.get("spec", {})
    mark = changes["metadata"]["annotations"][DRAIN_ANNOTATION]
    if node.metadata.annotations.get(DRAIN_ANNOTATION) != mark:
        return False
    if "unschedulable" in spec and node.spec.unschedulable != bool(spec["unschedulable"]):
        return False
    if "taints" not in spec:
        return True
    wanted = any(each["key"] == SOFT_TAINT.key and each["effect"] == SOFT_TAINT.effect for each in spec["taints"])
    return soft_tainted(node) == wanted


def _patch(node: Node, mark: Mark, *, taint: bool | None = None, cordon: bool | None = None) -> dict[str, Any]:
    """A merge patch. It replaces the list of taints, so the node's resourceVersion is a precondition."""
    spec: dict[str, Any] = {}
    if taint is not None:
        others = [msgspec.to_builtins(each) for each in node.spec.taints if not _is_soft(each)]
        spec["taints"] = [*others, *([msgspec.to_builtins(SOFT_TAINT)] if taint else [])]
    if cordon is not None:
        spec["unschedulable"] = True if cordon else None
    changes: dict[str, Any] = {"metadata": {"annotations": {DRAIN_ANNOTATION: written(mark)}}}
    return changes | ({"spec": spec} if spec else {})


def _is_soft(taint: Taint) -> bool:
    return taint.key == SOFT_TAINT.key and taint.effect == SOFT_TAINT.effect
