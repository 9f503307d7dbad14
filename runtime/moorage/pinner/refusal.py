"""Why something is not done: a reason code with the particulars."""

from __future__ import annotations

from typing import NamedTuple

from moorage.protocol import ReasonCode


class Refusal(NamedTuple):
    """A reason, and a sentence with the particulars; an empty sentence stands for the reason's own."""

    reason: ReasonCode
    sentence: str = ""

    @property
    def text(self) -> str:
        """The sentence for people."""
        return self.sentence or self.reason.sentence
