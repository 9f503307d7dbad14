"""One drain cycle: taint all chosen nodes, then empty a few at a time, until done or until a reason to stop appears.

A batch decides and remembers; it makes no requests. A batch without chosen nodes cleans up: it finishes or rolls back
the drains of an earlier leader, and hands back nodes that nobody has deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from moorage.objects import Node, Pod

from . import names
from .attempts import Attempts
from .cluster_state import ClusterState
from .decide import decide
from .eviction_check import EvictionCheck
from .evictions import Evictions
from .names import Mark, Phase
from .observation import Observation, OnNode
from .parallelism import Parallelism
from .reasons import Effect, Finding, Reason
from .replacements import Replacements
from .settings import Settings
from .steps import Begin, Decision, Evict, HandBack, NodeStep, Outcome, RollBack, SoftTaint, Step
from .stopping import Baseline, why_stop

TRIES = 3
"""Failures after which tainting or cordoning a node is given up."""

Classify = Callable[[Node, Sequence[Pod], ClusterState], Iterable[OnNode]]
"""What the pods on a node mean for its drain."""


def nobody_claims(node: Node, cluster: ClusterState) -> str:  # noqa: ARG001
    """No other program works on any node."""
    return ""


def nothing_pauses() -> str:
    """Evictions are always allowed."""
    return ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The decisions that the service makes.

    Attributes:
        classify: returns what the pods on a node mean for its drain. Called at each round.
        claimed: returns what another program does with a node, for people; empty when none does.
        paused: returns why no eviction is made and no node is started for now, for people; empty when nothing prevents
            that. Running drains stay as they are, and their time limits continue.
    """

    classify: Classify
    claimed: Callable[[Node, ClusterState], str] = nobody_claims
    paused: Callable[[], str] = nothing_pauses


@dataclass(frozen=True, slots=True)
class Ended:
    """The result for a node.

    Attributes:
        outcome: the result.
        why: the reason; None when the node was emptied.
    """

    outcome: Outcome
    why: Finding | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """What to do now.

    Attributes:
        steps: the steps, to be made in parallel.
        decisions: the decision about each node.
        ask: whether the simulation must run again before the next node starts.
        wake: when to decide again even if nothing happens; None means no such time.
        finished: whether the cycle is over.
    """

    steps: tuple[Step, ...]
    decisions: dict[str, Decision]
    ask: bool
    wake: datetime | None
    finished: bool


@dataclass(slots=True)
class _Progress:
    """The progress of one node in the cycle.

    Attributes:
        chosen: whether the node is to be emptied in this cycle.
        begun: whether its drain has started.
        phase: its phase when it was last seen.
        stop: why the drain must not continue; None while it may.
        finishing: since when the last write to the node is due, in monotonic seconds; None when none is.
        ended: the result; None while there is none.
    """

    chosen: bool
    begun: bool = False
    phase: Phase | None = None
    stop: Finding | None = None
    finishing: float | None = None
    ended: Ended | None = None


class Batch:
    """A drain cycle.

    Args:
        cycle: its id.
        chosen: the nodes to empty, in this order; none to clean up.
        by: the id of our installation.
        policy: the decisions that the service makes.
        settings: how nodes are drained.
        evictions: the evictions of the term.
        attempts: the writes to nodes of the term.
        parallelism: how many nodes may be emptied at a time in the term.
        monotonic: seconds on a monotonic clock.
        hold_until: no eviction before this moment, in monotonic seconds, because another leader may have evicted.

    Attributes:
        stopped: why no more nodes are emptied; None while the cycle continues.
    """

    def __init__(
        self,
        cycle: str,
        chosen: Sequence[str],
        by: str,
        policy: Policy,
        settings: Settings,
        evictions: Evictions,
        attempts: Attempts,
        parallelism: Parallelism,
        monotonic: Callable[[], float],
        *,
        hold_until: float = 0.0,
    ) -> None:
        self.cycle = cycle
        self.stopped: Finding | None = None
        self._by, self._policy, self._settings = by, policy, settings
        self._evictions, self._attempts, self._parallelism = evictions, attempts, parallelism
        self._monotonic = monotonic
        self._hold_until = hold_until
        self._nodes = {name: _Progress(chosen=True) for name in chosen}
        self._replacements = Replacements(settings, monotonic)
        self._baseline: Baseline | None = None
        self._ask = bool(chosen)
        self._hold: Finding | None = None

    @property
    def ended(self) -> dict[str, Ended]:
        """The nodes for which nothing is left to do in this cycle."""
        return {name: each.ended for name, each in self._nodes.items() if each.ended is not None}

    @property
    def remaining(self) -> tuple[str, ...]:
        """The chosen nodes that have not started. The simulation checks them."""
        return tuple(name for name, each in self._open() if each.chosen and not each.begun)

    # --- input ---

    def stop(self, why: Finding) -> None:
        """Stop the cycle. Nodes that are not emptied yet are rolled back."""
        if self.stopped is None:
            self.stopped = why
            self._parallelism.failed()

    def keep(self, wanted: Collection[str]) -> None:
        """Take over the simulation's result: of the nodes that have not started, only these may still be emptied."""
        self._ask = False
        for name in self.remaining:
            if name not in wanted:
                self._halt(self._nodes[name], Finding(Reason.NOT_WANTED))

    # --- deciding ---

    def decide(self, cluster: ClusterState, *, doubtful: Collection[str] = (), errors: int = 0) -> Orders:
        """Decide what to do now.

        Args:
            cluster: the current state of the cluster.
            doubtful: nodes for which the result of our last write is unknown.
            errors: failures of the API server in a row.
        """
        self._evictions.observe(cluster)
        check = EvictionCheck(cluster, self._evictions.flying)
        self._find(cluster)
        self._stop_if_need_be(cluster, check, errors)
        self._hold = self._why_hold(cluster)
        decisions: dict[str, Decision] = {}
        steps: list[Step] = []
        evicting = 0
        for name, progress in self._nodes.items():
            if progress.ended is not None or self._attempts.busy(name):
                continue  # the result is unknown while a write is running
            room = self._settings.evictions_at_once - self._evictions.under_way - evicting
            o = self._observe(name, progress, cluster, doubtful=name in doubtful, room=room)
            decision = decisions[name] = self._decide(o, progress, check)
            due = [step for step in decision.steps if not isinstance(step, NodeStep) or self._attempts.due(step)]
            evicting += self._note(progress, due, cluster)
            steps += due
            self._conclude(name, progress, decision, cluster, check)
        finished = not any(True for _ in self._open()) and not self._evictions.under_way
        ask = self._ask and self.stopped is None and bool(self.remaining) and self._all_tainted()
        return Orders(tuple(steps), decisions, ask, self._wake(decisions, cluster), finished)

    def _open(self) -> Iterator[tuple[str, _Progress]]:
        return ((name, each) for name, each in self._nodes.items() if each.ended is None)

    def _find(self, cluster: ClusterState) -> None:
        """Update the phases of the nodes, and add nodes that have our mark and were not chosen."""
        if self._baseline is None:
            self._baseline = Baseline.of(cluster)
        for name, node in cluster.nodes.items():
            if names.DRAIN_ANNOTATION in node.metadata.annotations:
                mark = _mark(node)
                if name not in self._nodes and (mark is None or (mark.by == self._by and not mark.phase.over)):
                    self._nodes[name] = _Progress(chosen=False)
                if name in self._nodes:
                    self._nodes[name].phase = mark.phase if mark is not None else None

    def _stop_if_need_be(self, cluster: ClusterState, check: EvictionCheck, errors: int) -> None:
        if self.stopped is None and self._baseline is not None and any(each.chosen for _, each in self._open()):
            why = why_stop(cluster, self._baseline, errors, self._settings) or self._replacements.trouble(
                cluster, check
            )
            if why is not None:
                self.stop(why)
        if self.stopped is not None:
            for _, progress in self._open():
                self._halt(progress, self.stopped)

    def _why_hold(self, cluster: ClusterState) -> Finding | None:
        """Why no more evictions are made for now; None when they may be."""
        if self._monotonic() < self._hold_until:
            return Finding(Reason.SETTLING)
        if why := self._policy.paused():
            return Finding(Reason.PAUSED, why)
        return self._replacements.pending(cluster)

    def _observe(
        self, name: str, progress: _Progress, cluster: ClusterState, *, doubtful: bool, room: int
    ) -> Observation:
        node = cluster.nodes.get(name)
        return Observation(
            name,
            cluster.now,
            node,
            tuple(self._policy.classify(node, cluster.on(name), cluster)) if node is not None else (),
            self._by,
            self._settings,
            wanted=progress.chosen,
            stop=progress.stop,
            turn=None if progress.begun else self._turn(),
            hold=self._hold,
            claimed=self._policy.claimed(node, cluster) if node is not None else "",
            unread=cluster.unread_on.get(name, ""),
            doubtful=doubtful,
            room=max(room, 0),
        )

    def _decide(self, o: Observation, progress: _Progress, check: EvictionCheck) -> Decision:
        decision = decide(o, check, self._evictions)
        why = self._gives_up(decision)
        if why is None or progress.stop is not None:
            return decision
        if why.reason.effect is Effect.STOPS:
            self.stop(why)
        self._halt(progress, why)
        return decide(replace(o, stop=why), check, self._evictions)

    def _gives_up(self, decision: Decision) -> Finding | None:
        """Why the drain of a node must not continue, as far as responses of the API server tell.

        A failure that may be repeated is ignored: it may be of an earlier cycle.
        """
        for step in decision.steps:
            if not isinstance(step, NodeStep) or self._attempts.due(step):
                continue
            trouble = self._attempts.trouble(step)
            if trouble is None:
                continue
            if trouble.reason is Reason.RIGHTS:
                return trouble
            if isinstance(step, SoftTaint | Begin) and self._attempts.tries(step) >= TRIES:
                return trouble
        return next((wait.why for wait in decision.waits if wait.why.reason is Reason.RIGHTS), None)

    def _turn(self) -> Finding | None:
        """Why no other node starts now; None when one may."""
        if not self._all_tainted():
            return Finding(Reason.NOT_ALL_TAINTED)
        if self._hold is not None and self._hold.reason is Reason.PAUSED:
            return self._hold
        active = sum(1 for _, each in self._open() if each.begun)
        return Finding(Reason.TURN) if self._ask or active >= self._parallelism.at_once else None

    def _all_tainted(self) -> bool:
        """Whether every chosen node that is still to be emptied has its mark."""
        waited_for = (each for _, each in self._open() if each.chosen and each.stop is None)
        return all(each.phase is not None and not each.phase.over for each in waited_for)

    def _halt(self, progress: _Progress, why: Finding) -> None:
        if progress.stop is None:
            progress.stop = why

    def _note(self, progress: _Progress, due: Iterable[Step], cluster: ClusterState) -> int:
        """Record the steps that are about to be made. Returns the number of evictions among them."""
        evicting = 0
        for step in due:
            if isinstance(step, Begin):
                progress.begun = True
            elif isinstance(step, Evict):
                self._replacements.evicting(step.pod, cluster)
                evicting += 1
        return evicting

    # --- the end of one node ---

    def _conclude(
        self, name: str, progress: _Progress, decision: Decision, cluster: ClusterState, check: EvictionCheck
    ) -> None:
        last = next((step for step in decision.steps if isinstance(step, RollBack | HandBack)), None)
        if last is not None:
            self._halt(progress, last.why)  # the drain does not continue, whatever changes, until this step is made
        if decision.outcome is None:
            self._see_if_stuck(progress, decision)
        elif decision.outcome is Outcome.EMPTIED or (decision.outcome is Outcome.GONE and _was_emptied(progress)):
            progress.phase = Phase.EMPTIED  # also if the node was deleted before our mark was written
            self._emptied(name, progress, cluster, check)
        else:
            progress.ended = Ended(decision.outcome, decision.why)
            self._failed(progress)
            if decision.outcome is Outcome.HANDED_BACK and progress.begun and decision.why is not None:
                self.stop(decision.why)  # the evicted pods have returned, because the scheduler has no room elsewhere

    def _emptied(self, name: str, progress: _Progress, cluster: ClusterState, check: EvictionCheck) -> None:
        """A node is empty. It counts as emptied when the replacements are available."""
        if not progress.begun:
            progress.ended = Ended(Outcome.EMPTIED)
        elif self._replacements.missing(name, cluster, check) is None:
            progress.ended = Ended(Outcome.EMPTIED)
            self._parallelism.succeeded()
            self._ask = True
        elif self.stopped is not None:
            progress.ended = Ended(Outcome.EMPTIED, self.stopped)

    def _see_if_stuck(self, progress: _Progress, decision: Decision) -> None:
        """Give up the last write to a node when it fails for too long. The next cleanup tries again."""
        last = [step for step in decision.steps if isinstance(step, NodeStep) and not isinstance(step, Begin)]
        if not last:
            progress.finishing = None
            return
        now = self._monotonic()
        if progress.finishing is None:
            progress.finishing = now
        if now - progress.finishing > self._settings.rollback_timeout.total_seconds():
            troubles = (self._attempts.trouble(step) for step in last)
            trouble = next((each for each in troubles if each is not None), None)
            text = str(trouble) if trouble is not None else ""
            progress.ended = Ended(Outcome.STUCK, Finding(Reason.WRITE_FAILS, text))
            self._failed(progress)

    def _failed(self, progress: _Progress) -> None:
        """A started node was not emptied: reset the parallelism, and run the simulation again."""
        if progress.begun:
            self._parallelism.failed()
            self._ask = True

    def _wake(self, decisions: dict[str, Decision], cluster: ClusterState) -> datetime | None:
        result = [wait.until for each in decisions.values() for wait in each.waits if wait.until is not None]
        for each in decisions.values():
            waits = (self._attempts.wait(step) for step in each.steps if isinstance(step, NodeStep))
            result += [cluster.now + timedelta(seconds=wait) for wait in waits if wait is not None and wait > 0]
        return min(result, default=None)


def _was_emptied(progress: _Progress) -> bool:
    return progress.phase is Phase.EMPTIED


def _mark(node: Node) -> Mark | None:
    """The mark of a node; None also when it cannot be read."""
    try:
        return names.read(node)
    except names.UnreadableMark:
        return None
