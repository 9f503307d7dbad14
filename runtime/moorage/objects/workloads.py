"""Controllers of pods, disruption budgets and namespaces: enough to find a pod's top-level controller."""

from __future__ import annotations

from .base import Condition, KubeObject, Object
from .selectors import LabelSelector


class ConditionPattern(Object, frozen=True):
    """A pod condition in a rule of a Job's failure policy. A missing ``status`` means True."""

    type: str = ""
    status: str = "True"


class FailureRule(Object, frozen=True):
    """A rule of a Job's failure policy. The first matching rule decides about a failed pod."""

    action: str = ""
    on_pod_conditions: tuple[ConditionPattern, ...] = ()


class FailurePolicy(Object, frozen=True):
    """``spec.podFailurePolicy`` of a Job."""

    rules: tuple[FailureRule, ...] = ()


class RollingUpdate(Object, frozen=True):
    """How many pods an update may make unavailable or add: numbers, or percentages (``25%``)."""

    max_unavailable: int | str | None = None
    max_surge: int | str | None = None


class UpdateStrategy(Object, frozen=True):
    """How a controller replaces its pods when its template changes."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Object, frozen=True):
    """The part of a controller's ``spec`` about the number of pods. ``replicas`` None means the default, 1.

    ``strategy`` is a field of Deployments, ``update_strategy`` of StatefulSets and DaemonSets.

    The fields after ``paused`` are of Jobs.
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
    """The part of a controller's ``status`` about the number of pods. The last two fields are of Jobs."""

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
    """``status`` of a PodDisruptionBudget. It is outdated while ``observed_generation`` is behind the metadata."""

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
    """A namespace. Namespace selectors of inter-pod affinity match its labels."""
