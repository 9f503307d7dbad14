"""Controllers of pods, disruption budgets and namespaces: enough to find a pod's top controller and its replicas."""

from __future__ import annotations

from .base import Condition, KubeObject, Object
from .selectors import LabelSelector


class ConditionPattern(Object, frozen=True):
    """A pod condition that a rule of a Job's failure policy looks for; an absent ``status`` means True."""

    type: str = ""
    status: str = "True"


class FailureRule(Object, frozen=True):
    """One rule of a Job's failure policy: the first that matches a failed pod decides."""

    action: str = ""
    on_pod_conditions: tuple[ConditionPattern, ...] = ()


class FailurePolicy(Object, frozen=True):
    """``spec.podFailurePolicy`` of a Job."""

    rules: tuple[FailureRule, ...] = ()


class RollingUpdate(Object, frozen=True):
    """How many pods an update may take away at a time, and add: numbers, or parts of all (``25%``)."""

    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class UpdateStrategy(Object, frozen=True):
    """How a controller replaces its pods when its template changes."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Object, frozen=True):
    """The part of a controller's ``spec`` that says how many pods it wants; ``replicas`` None means the default, 1.

    ``strategy`` is a Deployment's, ``update_strategy`` that of a StatefulSet or DaemonSet.

    What follows ``paused`` is of Jobs alone.
    """

    replicas: int | None = None
    min_ready_seconds: int = 0
    strategy: UpdateStrategy = UpdateStrategy()
    update_strategy: UpdateStrategy = UpdateStrategy()
    paused: bool = False
    parallelism: int | None = None
    completions: int | None = None
    completion_mode: str = ""
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    pod_failure_policy: FailurePolicy | None = None


class WorkloadStatus(Object, frozen=True):
    """The part of a controller's ``status`` that says how many pods it has; the last two are of Jobs."""

    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    active: int = 0
    failed: int = 0


class Workload(KubeObject, frozen=True):
    """A ReplicaSet, Deployment, StatefulSet, DaemonSet, ReplicationController, CronJob or Job."""

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class DisruptionBudgetSpec(Object, frozen=True):
    """``spec`` of a PodDisruptionBudget."""

    selector: LabelSelector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str = ""


class DisruptionBudgetStatus(Object, frozen=True):
    """``status`` of a PodDisruptionBudget; stale while ``observed_generation`` lags behind the metadata."""

    observed_generation: int = 0
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    disrupted_pods: dict[str, str] = {}


class PodDisruptionBudget(KubeObject, frozen=True):
    """A disruption budget."""

    spec: DisruptionBudgetSpec = DisruptionBudgetSpec()
    status: DisruptionBudgetStatus = DisruptionBudgetStatus()


class Namespace(KubeObject, frozen=True):
    """A namespace; its labels decide namespace selectors of inter-pod affinity."""
