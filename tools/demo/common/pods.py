"""Reads every revision of a demo's pods and budgets, and says what changed, as events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.watch import Selection
from moorage.objects import Pod, PodDisruptionBudget
from moorage.objects.quantity import milli

from .apps import App
from .following import Followed
from .stage import S, Stage
from .workloads import BudgetSeen, PodSeen, PodState, Watched


def pod_state(pod: Pod) -> PodState:
    """How far a pod is; one that is being deleted serves nobody, whatever it says."""
    if pod.metadata.deletion_timestamp is not None or pod.finished:
        return PodState.LEAVING
    if not pod.spec.node_name:
        return PodState.PENDING
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return PodState.READY if ready else PodState.STARTING


def watch_floors(stage: Stage[S], apps: Iterable[App]) -> None:
    """From now on none of these Deployments may fall below its floor."""
    for app in apps:
        at, budget = stage.elapsed, app.budget is not None
        stage.take(Watched(at=at, app=app.name, replicas=app.replicas, floor=app.floor, budget=budget))


class PodObserver:
    """Caches of pods and budgets, and the events they cause; only changes are events.

    Args:
        transport: connections to the API server.
        stage: takes the events.
        namespace: of pods and budgets.
        told: is told of each change of a pod, too, after the stage.
    """

    def __init__(
        self,
        transport: Transport,
        stage: Stage[S],
        namespace: str,
        told: Callable[[Change[Pod]], None] = lambda _: None,
    ) -> None:
        here = Selection(namespace=namespace)
        self.pods = WatchCache(transport, resources.PODS, selection=here)
        self.budgets = WatchCache(transport, resources.DISRUPTION_BUDGETS, selection=here)
        self._stage, self._told = stage, told
        self._seen: dict[str, tuple[PodState, str]] = {}

    @property
    def followed(self) -> Iterator[Followed]:
        """What must be followed."""
        yield Followed(self.pods, self._pod)
        yield Followed(self.budgets, self._budget)

    def _pod(self, change: Change[Pod]) -> None:
        self._see(change)
        self._told(change)

    def _see(self, change: Change[Pod]) -> None:
        pod = change.object
        name, node = pod.metadata.name, pod.spec.node_name
        state = PodState.GONE if change.new is None else pod_state(pod)
        if self._seen.get(name) == (state, node):
            return
        self._seen[name] = (state, node)
        app = pod.metadata.labels.get("app", "")
        cpu = sum(milli(each.resources.requests.get("cpu", "0")) for each in pod.spec.containers)
        self._stage.take(PodSeen(at=self._stage.elapsed, pod=name, app=app, cpu=cpu, state=state, node=node))

    def _budget(self, change: Change[PodDisruptionBudget]) -> None:
        status = change.object.status
        if change.new is not None:
            app, healthy, desired = change.object.metadata.name, status.current_healthy, status.desired_healthy
            self._stage.take(BudgetSeen(at=self._stage.elapsed, app=app, healthy=healthy, desired=desired))
