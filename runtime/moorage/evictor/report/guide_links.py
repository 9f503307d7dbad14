"""Links to the section of the guides that explains a reason."""

from __future__ import annotations

from moorage.evictor.candidates import NodeReason, PodReason, Stance
from moorage.evictor.compaction import KeptReason

RULES, CHOOSING = "docs/guides/evictor-rules.md", "docs/guides/evictor-choosing.md"
STAYING = "Pods that go with their node"
ALWAYS = "Pods that hold their node, disposable or not"
GUARDS = "Pods that hold their node unless they are disposable"
MOVING = "Pods that may be evicted"
NODES = "Nodes"
KEPT = "Why a node stays"

_FIRST_GUARD = list(PodReason).index(PodReason.PHASE_UNKNOWN)


def section(reason: PodReason | NodeReason | KeptReason) -> str:
    """Return the heading under which the guide has the reason."""
    if isinstance(reason, KeptReason):
        return KEPT
    if isinstance(reason, NodeReason):
        return NODES
    if reason.stance is not Stance.HOLDS:
        return STAYING if reason.stance is Stance.STAYS else MOVING
    return GUARDS if is_guard(reason) else ALWAYS


def is_guard(reason: PodReason) -> bool:
    """Whether the reason does not hold disposable pods."""
    return reason.stance is Stance.HOLDS and list(PodReason).index(reason) >= _FIRST_GUARD


def link(reason: PodReason | NodeReason | KeptReason) -> str:
    """Return page and section, as in ``docs/guides/evictor-rules.md#nodes``."""
    heading = section(reason)
    anchor = "".join(char for char in heading.lower().replace(" ", "-") if char.isalnum() or char == "-")
    return f"{CHOOSING if isinstance(reason, KeptReason) else RULES}#{anchor}"
