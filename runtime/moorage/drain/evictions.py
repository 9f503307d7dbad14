"""The evictions of a term: those under way, those that no watch has shown yet, and when others may be tried again.

A pod that was evicted, or may have been, counts as gone until it is seen: nobody asks for it twice because a watch is
late or an answer was lost. Nothing of this is stored: whoever leads next sees it in the pods.
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
    """How it stands with one eviction."""

    ASKED = "asked"
    """No answer has come."""
    UNSEEN = "unseen"
    """The pod is, or may be, evicted, and not seen to be."""
    REFUSED = "refused"
    """It was certainly not evicted, and may be tried again later."""


@dataclass(slots=True)
class Eviction:
    """One pod's; moments are monotonic seconds.

    Attributes:
        pod: as it was when it was asked for.
        node: where it was.
        state: how it stands.
        at: since when.
        due: when it may be tried again, or looked at.
        tries: how often it was refused.
        answer: the last one.
    """

    pod: Pod
    node: str
    state: State
    at: float
    due: float = 0.0
    tries: int = 0
    answer: Answer = field(default=Answer(Meaning.ACCEPTED))


class Evictions:
    """Remembers them.

    Args:
        settings: how long to wait.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._known: dict[str, Eviction] = {}

    def use(self, settings: Settings) -> None:
        """How long to wait from now on."""
        self._settings = settings

    @property
    def known(self) -> Mapping[str, Eviction]:
        """All, by the pod's uid."""
        return self._known

    @property
    def flying(self) -> frozenset[str]:
        """Uids of the pods that count as gone although they are not seen to be."""
        return frozenset(uid for uid, each in self._known.items() if each.state is not State.REFUSED)

    @property
    def under_way(self) -> int:
        """How many have not been answered."""
        return sum(1 for each in self._known.values() if each.state is State.ASKED)

    # --- what happened ---

    def asked(self, pod: Pod) -> None:
        """A pod's eviction is asked for, from now on."""
        uid, node = pod.metadata.uid, pod.spec.node_name
        known = self._known.get(uid)
        tries = known.tries if known is not None else 0
        self._known[uid] = Eviction(pod, node, State.ASKED, self._monotonic(), tries=tries)

    def withdrawn(self, pod: Pod) -> None:
        """It was not asked for after all."""
        self._known.pop(pod.metadata.uid, None)

    def answered(self, pod: Pod, answer: Answer) -> None:
        """An answer has come."""
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
        """The pod was looked at, long after the answer, and nothing has happened to it."""
        known = self._known.get(pod.metadata.uid)
        if known is not None and known.state is State.UNSEEN:
            self._refused(known, 0.0)

    def observe(self, cluster: ClusterState) -> None:
        """Forget what the watch has shown."""
        for uid, each in list(self._known.items()):
            pod = cluster.pod(each.pod.key, uid)
            gone = pod is None or pod.metadata.deletion_timestamp is not None
            if gone and each.state is not State.ASKED:
                del self._known[uid]

    # --- what is to be done ---

    def against(self, pod: Pod) -> tuple[Finding, float] | None:
        """Why a pod is not evicted now whatever else is so, and the seconds until it may be; None when it may."""
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
        """Why a pod's eviction did not come about, as far as that is known."""
        known = self._known.get(pod.metadata.uid)
        return trouble(known) if known is not None else None

    def to_look_at(self, node: str) -> list[Pod]:
        """The pods of a node of which nothing was seen for too long."""
        now = self._monotonic()
        waiting = (each for each in self._known.values() if each.node == node and each.state is State.UNSEEN)
        return [each.pod for each in waiting if each.due <= now]

    def looking(self, pod: Pod) -> None:
        """A pod is looked at from now on: not again at once."""
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
    """Why an eviction did not come about."""
    answer = eviction.answer
    return Finding(_TROUBLES.get(answer.meaning, Reason.EVICTION_REFUSED), answer.text, eviction.pod.key)
