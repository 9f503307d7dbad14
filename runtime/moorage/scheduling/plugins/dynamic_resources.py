"""Resource claims (``plugins/dynamicresources``): the scheduler itself allocates them, so the answer is "unknown"."""

from __future__ import annotations

from typing import Protocol

from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin


class _PodClass(Protocol):
    @property
    def resource_claim(self) -> str: ...


class DynamicResources(Plugin[_PodClass]):
    """A pod with resource claims fits no node for sure."""

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without resource claims."""
        return not pod_class.resource_claim

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:  # noqa: ARG002 - the same for every class
        """Clear every slot."""
        mask[:] = False

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:  # noqa: ARG002 - the same for every node
        """Name the first resource claim."""
        return [Finding(Reason.RESOURCE_CLAIM, "spec.resourceClaims", pod_class.resource_claim)]
