"""Why something is not done: a reason code with the particulars."""

from __future__ import annotations

from typing import NamedTuple

from moorage.kube import errors
from moorage.protocol import ReasonCode


class Refusal(NamedTuple):
    """A reason, and a sentence with the particulars; an empty sentence stands for the reason's own."""

    reason: ReasonCode
    sentence: str = ""

    @property
    def text(self) -> str:
        """The sentence for people."""
        return self.sentence or self.reason.sentence


class Nominable(NamedTuple):
    """Only the scheduler can place the pod; ``why`` says what for. It can be nominated to a node that has joined."""

    why: Refusal


class Wait(NamedTuple):
    """Nobody can say yet; ``why`` is the answer when the deadline comes."""

    why: Refusal


def refusal_of(error: Exception) -> Refusal:
    """What a failure means to whoever waits for an answer.

    Args:
        error: of a request, or a defect of our own.
    """
    match error:
        case errors.TooManyRequests() | errors.ServerError():
            return Refusal(ReasonCode.API_UNAVAILABLE, f"the API server failed: {error}")
        case errors.ApiError():
            return Refusal(ReasonCode.API_REFUSED, f"the API server refused: {error.status.message or error}")
        case errors.Undecodable():
            return Refusal(ReasonCode.DEADLINE_PASSED, f"an answer of the API server cannot be read: {error}")
        case errors.KubeError():
            return Refusal(ReasonCode.API_UNAVAILABLE, f"the API server was not reached: {error}")
        case _:
            text = f"internal error of the pinner: {type(error).__name__}: {error}"
            return Refusal(ReasonCode.INTERNAL, text)


def is_final(error: errors.ApiError) -> bool:
    """Whether the API server said no to the object itself: validation or an admission policy did, and would again.

    A right that is missing may be granted; for a moment after its start an API server knows of no rights at all.
    """
    return isinstance(error, errors.Invalid) or (isinstance(error, errors.Forbidden) and not error.lacks_right)
