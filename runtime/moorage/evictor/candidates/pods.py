"""What a pod means for its node: removal-disabled > disposable > rule's aggressive > aggressiveMode > default rules."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from moorage.evictor.rules import Setting, Subject, decide
from moorage.objects import Pod

from . import default_rules, overrides
from .budgets import Budgets
from .controllers import Controllers, Lookup, Made
from .policy import Policy
from .reasons import PodFinding, PodReason, Stance
from .siblings import alike
from .verdicts import PodVerdict
from .view import View

_PASSING = frozenset((PodReason.BUDGET_SPENT, PodReason.BUDGET_STALE))
"""What budgets say for the moment only."""


class Pods:
    """Judges what pods mean for their nodes.

    Args:
        view: what is known of the cluster.
        policy: the settings.
        patient: whether a budget that allows no eviction now is waited for, and holds nothing.
    """

    def __init__(self, view: View, policy: Policy, *, patient: bool = False) -> None:
        self._view = view
        self._policy = policy
        self._waited_for = _PASSING if patient else frozenset()
        self._lookup = Lookup(view)
        self._budgets = Budgets(view)
        self._known: dict[Hashable, tuple[Stance, tuple[PodFinding, ...]]] = {}

    def judge(self, pod: Pod, node_rules: frozenset[str]) -> PodVerdict:
        """Return the verdict on a pod.

        Args:
            pod: bound to a node, and one of the view's.
            node_rules: places of the rules that match the node.
        """
        if self._view.doubt("Pod", pod.key):
            return PodVerdict(pod.key, *self._judge(pod, node_rules))
        group = alike(pod, node_rules)
        verdict = self._known.get(group)
        if verdict is None:
            verdict = self._known[group] = self._judge(pod, node_rules)
        return PodVerdict(pod.key, *verdict)

    def _judge(self, pod: Pod, node_rules: frozenset[str]) -> tuple[Stance, tuple[PodFinding, ...]]:
        controllers = self._lookup.of(pod)
        if aside := _aside(pod, controllers):
            return aside[0].reason.stance, aside
        if doubt := self._view.doubt("Pod", pod.key):
            # The other reasons could come from the missing fields.
            return Stance.HOLDS, (*_own_marks(pod, controllers), PodFinding(PodReason.POD_UNREADABLE, doubt))
        subject = Subject(
            pod.metadata.namespace, pod.metadata.labels, controllers.kinds, controllers.replicas, node_rules
        )
        held = [*self._protected(pod, controllers, subject), *self._budgeted(pod)]
        disposable = self._disposable(pod, controllers, subject)
        guarded = [] if disposable else list(self._guarded(pod, controllers, subject))
        held += [finding for finding in guarded if finding.reason.stance is Stance.HOLDS]
        if held:
            return Stance.HOLDS, tuple(held)
        return Stance.MOVES, (disposable,) if disposable else tuple(guarded)

    def _protected(self, pod: Pod, controllers: Controllers, subject: Subject) -> Iterator[PodFinding]:
        """What holds even a disposable pod: marks that people have set, and objects that may hide such a mark."""
        yield from _own_marks(pod, controllers)
        rule = decide(self._policy.rules, Setting.REMOVAL_DISABLED, subject)
        if rule is not None and rule.settings[Setting.REMOVAL_DISABLED]:
            yield PodFinding(PodReason.RULE_REMOVAL_DISABLED, rule.path)
        yield from overrides.pod_marks(pod.metadata, self._view.now)
        if controllers.unseen:
            yield PodFinding(PodReason.OWNER_UNSEEN, controllers.unseen)

    def _budgeted(self, pod: Pod) -> Iterator[PodFinding]:
        """Why the API server would refuse the eviction."""
        return (finding for finding in self._budgets.against(pod) if finding.reason not in self._waited_for)

    def _disposable(self, pod: Pod, controllers: Controllers, subject: Subject) -> PodFinding | None:
        job = controllers.objects[0] if controllers.made is Made.JOB and controllers.objects else None
        for meta in (pod.metadata, job.metadata if job is not None else None):
            if meta is not None and (key := overrides.disposable(meta)):
                return PodFinding(PodReason.DISPOSABLE, key)
        rule = decide(self._policy.rules, Setting.DISPOSABLE, subject)
        disposable = rule is not None and rule.settings[Setting.DISPOSABLE]
        return PodFinding(PodReason.DISPOSABLE, rule.path) if rule is not None and disposable else None

    def _guarded(self, pod: Pod, controllers: Controllers, subject: Subject) -> Iterator[PodFinding]:
        yield from default_rules.against(pod, self._view, self._policy.drain_timeout)
        if controllers.unseen:
            return
        rule = decide(self._policy.rules, Setting.AGGRESSIVE, subject)
        aggressive = self._policy.aggressive if rule is None else rule.settings[Setting.AGGRESSIVE]
        yield from default_rules.of_controller(pod, controllers, aggressive=aggressive)


def _aside(pod: Pod, controllers: Controllers) -> tuple[PodFinding, ...]:
    """The verdict on a pod that is never evicted; it holds its node only when people have marked it so."""
    if pod.finished:
        return (PodFinding(PodReason.FINISHED),)
    if pod.metadata.deletion_timestamp is not None:
        return (PodFinding(PodReason.TERMINATING),)
    if controllers.made is Made.STATIC:
        return tuple(_own_marks(pod, controllers)) or (PodFinding(PodReason.STATIC_POD),)
    if controllers.made is Made.DAEMON_SET:
        return tuple(_own_marks(pod, controllers)) or (PodFinding(PodReason.DAEMON_SET, controllers.direct_owner),)
    return ()


def _own_marks(pod: Pod, controllers: Controllers) -> Iterator[PodFinding]:
    """Marks on the pod or on one of its controllers."""
    for what, meta in (("", pod.metadata), *((each.metadata.name, each.metadata) for each in controllers.objects)):
        mark = overrides.removal_disabled(meta)
        if mark is not None:
            reason = PodReason.REMOVAL_DISABLED if mark.clear else PodReason.MARK_UNREADABLE
            yield PodFinding(reason, f"{mark} of {what}" if what else str(mark))
