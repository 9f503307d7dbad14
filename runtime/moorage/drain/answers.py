"""What an answer to an Eviction means, as pkg/registry/core/pod/storage/eviction.go gives it, and what is before it.

The same code means opposite things: 429 is a spent budget, flow control, or a webhook that wants patience; 500 is a pod
with two budgets, which nobody will ever evict, or a server that may have evicted it; 403 is a right that is missing, a
namespace that goes, a policy, or a budget of which the server cannot make sense. Only what was answered as evicted, or
may have been, counts as evicted; and only what certainly was not is tried again without a look at the pod.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from moorage.kube import errors

BUDGET_PATIENCE = 10.0
"""Seconds that the server asks for where it cannot say when a budget allows more (``createTooManyRequestsError``)."""
_NAMESPACE_TERMINATING = "NamespaceTerminating"
_CONFUSED_BUDGET = ("pdb disruptions allowed is negative", "DisruptedPods map too big")
_BUSY_BUDGET = "couldn't update PodDisruptionBudget"
_WEBHOOK_FAILS = "failed calling webhook"


class Meaning(Enum):
    """What is known after an answer."""

    ACCEPTED = "accepted"
    """The pod is being deleted, or gone."""
    GONE = "gone"
    """The pod that was meant is not there any more."""
    UNKNOWN = "unknown"
    """It may have been evicted: the pod is looked at before anything else is done to it."""
    BUDGET = "budget"
    """A PodDisruptionBudget allows none now."""
    SEVERAL_BUDGETS = "several budgets"
    """More than one budget selects the pod: it is never evicted."""
    NAMESPACE_TERMINATING = "namespace terminating"
    """Its namespace is being deleted, and it with it."""
    REFUSED = "refused"
    """A webhook, a policy or validation says no; it may say otherwise later."""
    NO_RIGHT = "no right"
    """We may not evict: not this pod, and not the next one."""
    CHANGED = "changed"
    """The pod changed at this very moment."""
    UNAVAILABLE = "unavailable"
    """The server was not reached, or takes nothing more now: the request was not carried out."""

    @property
    def may_have_evicted(self) -> bool:
        """Whether the pod counts as gone until it is seen."""
        return self in (Meaning.ACCEPTED, Meaning.GONE, Meaning.UNKNOWN)

    @property
    def fails(self) -> bool:
        """Whether the API server failed, which says nothing about the pod."""
        return self in (Meaning.UNKNOWN, Meaning.UNAVAILABLE)


class Answer(NamedTuple):
    """One answer.

    Attributes:
        meaning: what is known after it.
        text: what the server said; empty when it said yes.
        patience: the seconds that it asks to wait at least.
    """

    meaning: Meaning
    text: str = ""
    patience: float = 0.0


ACCEPTED = Answer(Meaning.ACCEPTED)


def read(error: errors.KubeError) -> Answer:
    """What an error means that came instead of a yes."""
    if not isinstance(error, errors.ApiError):
        meaning = Meaning.UNAVAILABLE if isinstance(error, errors.Unreachable) else Meaning.UNKNOWN
        return Answer(meaning, str(error))
    meaning = _meaning(error)
    least = BUDGET_PATIENCE if _BUSY_BUDGET in error.status.message else 0.0
    return Answer(meaning, error.status.message or str(error), max(error.retry_after or 0.0, least))


def _meaning(error: errors.ApiError) -> Meaning:
    if error.denied_by_webhook:
        return Meaning.REFUSED  # with whatever code it likes
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
        return Meaning.REFUSED  # it is asked before anything is done
    return Meaning.UNKNOWN
