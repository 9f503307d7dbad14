"""Secrets. Their data is never shown."""

from __future__ import annotations

from .base import KubeObject


class Secret(KubeObject, frozen=True):
    """A Secret; ``data`` holds the decoded bytes."""

    data: dict[str, bytes] = {}
    type: str = ""

    def __repr__(self) -> str:
        """The name and the keys only."""
        return f"Secret({self.key}: {', '.join(sorted(self.data))})"
