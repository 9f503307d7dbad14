"""What the response to an Eviction means, by pkg/registry/core/pod/storage/eviction.go and the handlers before it.

One status code has opposite meanings. 429 is a used-up budget, flow control, or a webhook that asks to wait. 500 is a
pod with two budgets, which is never evicted, or a server that may have evicted it. 403 is a missing right, a namespace
that is being deleted, a policy, or a budget that the server cannot evaluate. A pod counts as evicted if the response
says so or leaves it open. An eviction is repeated without a look at the pod only if it certainly did not happen.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from moorage.kube import errors

BUDGET_PATIENCE = 10.0
"""Seconds that the server asks to wait when it cannot tell when a budget allows more (``createTooManyRequestsError``).
"""
_NAMESPACE_TERMINATING = "NamespaceTerminating"
_CONFUSED_BUDGET = ("pdb disruptions allowed is negative", "DisruptedPods map too big")
_BUSY_BUDGET = "couldn't update PodDisruptionBudget"
_WEBHOOK_FAILS = "failed calling webhook"


class Meaning(Enum):
    """What is known after a response."""

    ACCEPTED = "accepted"
    """The pod is being deleted, or gone."""
    GONE = "gone"
    """The pod with this uid does not exist any more."""
    UNKNOWN = "unknown"
    """The pod may have been evicted. It is read before anything else is done to it."""
    BUDGET = "budget"
    """A PodDisruptionBudget allows no eviction now."""
    SEVERAL_BUDGETS = "several budgets"
    """More than one budget selects the pod, so it is never evicted."""
    NAMESPACE_TERMINATING = "namespace terminating"
    """The pod's namespace is being deleted."""
    REFUSED = "refused"
    """A webhook, a policy or validation refuses. It may decide otherwise later."""
    NO_RIGHT = "no right"
    """We lack the right to evict, for this pod and all others."""
    CHANGED = "changed"
    """The pod changed during the request."""
    UNAVAILABLE = "unavailable"
    """The server was unreachable or overloaded. It did not execute the request."""

    @property
    def may_have_evicted(self) -> bool:
        """Whether the pod counts as gone until it is seen."""
        return self in (Meaning.ACCEPTED, Meaning.GONE, Meaning.UNKNOWN)

    @property
    def fails(self) -> bool:
        """Whether the API server failed. That says nothing about the pod."""
        return self in (Meaning.UNKNOWN, Meaning.UNAVAILABLE)


class Answer(NamedTuple):
    """A response to an eviction.

    Attributes:
        meaning: what is known after it.
        text: the server's message; empty after a success.
        patience: seconds that the server asks to wait at least.
    """

    meaning: Meaning
    text: str = ""
    patience: float = 0.0


ACCEPTED = Answer(Meaning.ACCEPTED)


def read(error: errors.KubeError) -> Answer:
    """The meaning of an error."""
    if not isinstance(error, errors.ApiError):
        meaning = Meaning.UNAVAILABLE if isinstance(error, errors.Unreachable) else Meaning.UNKNOWN
        return Answer(meaning, str(error))
    meaning = _meaning(error)
    least = BUDGET_PATIENCE if _BUSY_BUDGET in error.status.message else 0.0
    return Answer(meaning, error.status.message or str(error), max(error.retry_after or 0.0, least))


def _meaning(error: errors.ApiError) -> Meaning:
    if error.denied_by_webhook:
        return Meaning.REFUSED  # a webhook may use any status code
    match error:
        case errors.NotFound():
            return Meaning.GONE
        case errors.Conflict():
            return Meaning.GONE if error.cause is errors.ConflictCause.UID else Meaning.CHANGED
        case errors.TooManyRequests():
            budget = error.cause is errors.ThrottleCause.DISRUPTION_BUDGET
            return Meaning.BUDGET if budget else Meaning.UNAVAILABLE
        case errors.Forbidden():
            return _forbidden(error)
        case errors.Unauthorized():
            return Meaning.NO_RIGHT
        case errors.Starting():
            return Meaning.UNAVAILABLE  # authorization runs before anything is done
        case errors.ServerError():
            return _failed(error)
        case _:
            return Meaning.REFUSED


def _forbidden(error: errors.Forbidden) -> Meaning:
    if error.lacks_right:
        return Meaning.NO_RIGHT
    if any(cause.reason == _NAMESPACE_TERMINATING for cause in error.causes):
        return Meaning.NAMESPACE_TERMINATING
    if any(sentence in error.status.message for sentence in _CONFUSED_BUDGET):
        return Meaning.BUDGET
    return Meaning.REFUSED


def _failed(error: errors.ServerError) -> Meaning:
    if error.several_budgets:
        return Meaning.SEVERAL_BUDGETS
    if _BUSY_BUDGET in error.status.message:
        return Meaning.BUDGET
    if _WEBHOOK_FAILS in error.status.message:
        return Meaning.REFUSED  # admission runs before anything is done
    return Meaning.UNKNOWN
