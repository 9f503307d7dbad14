"""The evictions of a term: those in flight, those that no watch has shown yet, and when refused ones may be repeated.

A pod that was or may have been evicted counts as gone until a watch shows its state. So a late watch or a lost response
never causes a second request. This state is not stored: the next leader sees it in the pods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from moorage.objects import Pod

from .answers import Answer, Meaning
from .cluster_state import ClusterState
from .reasons import Finding, Reason
from .settings import Settings


class State(Enum):
    """The state of one eviction."""

    REQUESTED = "requested"
    """No response has arrived."""
    UNSEEN = "unseen"
    """The pod was or may have been evicted, and no watch shows it."""
    REFUSED = "refused"
    """The pod was certainly not evicted. The request may be repeated later."""


@dataclass(slots=True)
class Eviction:
    """The eviction of one pod. Moments are monotonic seconds.

    Attributes:
        pod: the pod when the eviction was requested.
        node: the node of the pod.
        state: the state of the eviction.
        at: since when it has this state.
        due: when the request may be repeated, or the pod is read.
        tries: how often it was refused.
        answer: the last response.
    """

    pod: Pod
    node: str
    state: State
    at: float
    due: float = 0.0
    tries: int = 0
    answer: Answer = field(default=Answer(Meaning.ACCEPTED))


class Evictions:
    """Records evictions.

    Args:
        settings: back-off and time limits.
        monotonic: seconds on a monotonic clock.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._known: dict[str, Eviction] = {}

    def use(self, settings: Settings) -> None:
        """Change back-off and time limits."""
        self._settings = settings

    @property
    def known(self) -> Mapping[str, Eviction]:
        """All evictions, by the pod's uid."""
        return self._known

    @property
    def flying(self) -> frozenset[str]:
        """Uids of the pods that count as gone although no watch shows that."""
        return frozenset(uid for uid, each in self._known.items() if each.state is not State.REFUSED)

    @property
    def under_way(self) -> int:
        """The number of evictions without a response."""
        return sum(1 for each in self._known.values() if each.state is State.REQUESTED)

    # --- events ---

    def requested(self, pod: Pod) -> None:
        """The eviction of a pod is requested now."""
        uid, node = pod.metadata.uid, pod.spec.node_name
        known = self._known.get(uid)
        tries = known.tries if known is not None else 0
        self._known[uid] = Eviction(pod, node, State.REQUESTED, self._monotonic(), tries=tries)

    def withdrawn(self, pod: Pod) -> None:
        """The eviction was not requested after all."""
        self._known.pop(pod.metadata.uid, None)

    def answered(self, pod: Pod, answer: Answer) -> None:
        """A response has arrived."""
        known = self._known.get(pod.metadata.uid)
        if known is None:
            return
        now = known.at = self._monotonic()
        known.answer = answer
        if answer.meaning.may_have_evicted:
            known.state, known.due = State.UNSEEN, now + self._settings.look_after.total_seconds()
        else:
            self._refused(known, answer.patience)

    def found(self, pod: Pod) -> None:
        """The pod was read long after the response, and it is unchanged."""
        known = self._known.get(pod.metadata.uid)
        if known is not None and known.state is State.UNSEEN:
            self._refused(known, 0.0)

    def observe(self, cluster: ClusterState) -> None:
        """Drop evictions that a watch has shown."""
        for uid, each in list(self._known.items()):
            pod = cluster.pod(each.pod.key, uid)
            gone = pod is None or pod.metadata.deletion_timestamp is not None
            if gone and each.state is not State.REQUESTED:
                del self._known[uid]

    # --- decisions ---

    def against(self, pod: Pod) -> tuple[Finding, float] | None:
        """Why a pod must not be evicted now, and the seconds until it may; None when it may be evicted."""
        known = self._known.get(pod.metadata.uid)
        if known is None:
            return None
        wait = known.due - self._monotonic()
        if known.state is not State.REFUSED:
            return Finding(Reason.EVICTING, pod=pod.key), max(wait, 0.0)
        if wait <= 0:
            return None
        return trouble(known), wait

    def trouble(self, pod: Pod) -> Finding | None:
        """Why a pod's eviction has failed, as far as that is known."""
        known = self._known.get(pod.metadata.uid)
        return trouble(known) if known is not None else None

    def to_look_at(self, node: str) -> list[Pod]:
        """The pods on a node that no watch has shown for too long."""
        now = self._monotonic()
        waiting = (each for each in self._known.values() if each.node == node and each.state is State.UNSEEN)
        return [each.pod for each in waiting if each.due <= now]

    def looking(self, pod: Pod) -> None:
        """A pod is read now, and not again at once."""
        known = self._known.get(pod.metadata.uid)
        if known is not None:
            known.due = self._monotonic() + self._settings.look_after.total_seconds()

    def _refused(self, known: Eviction, least: float) -> None:
        known.state = State.REFUSED
        known.tries += 1
        base = self._settings.eviction_back_off.total_seconds()
        most = max(self._settings.eviction_back_off_most.total_seconds(), base)
        delay = min(base * 2.0 ** min(known.tries - 1, 32), most)
        known.due = self._monotonic() + max(delay, least)


_TROUBLES = {
    Meaning.BUDGET: Reason.BUDGET_SPENT,
    Meaning.SEVERAL_BUDGETS: Reason.SEVERAL_BUDGETS,
    Meaning.NO_RIGHT: Reason.RIGHTS,
    Meaning.UNAVAILABLE: Reason.API_UNAVAILABLE,
    Meaning.UNKNOWN: Reason.API_UNAVAILABLE,
    Meaning.ACCEPTED: Reason.NOT_EVICTED,
    Meaning.GONE: Reason.NOT_EVICTED,
}


def trouble(eviction: Eviction) -> Finding:
    """Why an eviction has failed."""
    answer = eviction.answer
    return Finding(_TROUBLES.get(answer.meaning, Reason.EVICTION_REFUSED), answer.text, eviction.pod.key)
