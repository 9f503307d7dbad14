"""What a check can say."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

SETTLING = 5.0
"""Seconds after which a right that was just granted counts at every API server."""


class State(enum.Enum):
    """How a check has ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one check.

    Attributes:
        name: of the check.
        state: how it has ended.
        detail: what was found, or what is wrong and the way out; particulars on lines of their own.
    """

    name: str
    state: State
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the pinner can do its work as far as this goes."""
        return self.state in (State.OK, State.WARNING)


class Finding(Exception):
    """A check has not ended well: the text says what it is about, the reason and the way out.

    Args:
        text: for people.
        patience: seconds for which it is worth to look again.
    """

    state: ClassVar[State]
    patience: ClassVar[float]

    def __init__(self, text: str, *, patience: float | None = None) -> None:
        super().__init__(text)
        self.worth = self.patience if patience is None else patience


class Failed(Finding):
    """The pinner cannot do its work."""

    state = State.FAILED
    patience = float("inf")


class Warned(Finding):
    """The pinner can do its work, and something is not as it should be."""

    state = State.WARNING
    patience = 0.0


class NotLookedAt(Finding):
    """Nobody knows: whoever asks may not look, or cannot from here."""

    state = State.UNKNOWN
    patience = SETTLING

    def __init__(self, reason: str, *, patience: float | None = None) -> None:
        super().__init__(f"not looked at, because {reason}", patience=patience)
