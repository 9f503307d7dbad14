"""What happens in any demo, as recorded: the live view, the replay and README's pictures are made of it alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower, kw_only=True, omit_defaults=True):
    """Base of all events; ``at`` is in seconds since the start."""

    at: float


class Mark(enum.Enum):
    """How a sentence is meant."""

    STEP = "·"
    GOOD = "✔"
    BAD = "✘"


class Said(Event, frozen=True):
    """The story has come to a point worth a line."""

    sentence: str
    mark: Mark = Mark.STEP


@dataclass
class State:
    """Base of what events add up to.

    Attributes:
        at: seconds since the start of the last event.
        said: all sentences so far.
    """

    at: float = 0.0
    said: list[Said] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Take one event in."""
        self.at = max(self.at, event.at)
        if isinstance(event, Said):
            self.said.append(event)
