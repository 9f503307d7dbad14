"""Controllers of pods, disruption budgets and namespaces: enough to find a pod's top controller and its replicas."""

from __future__ import annotations

from .base import Condition, KubeObject, Object
from .selectors import LabelSelector


class WorkloadSpec(Object, frozen=True):
    """The part of a controller's ``spec`` that says how many pods it wants; ``replicas`` None means the default, 1."""

    replicas: int | None = None
    min_ready_seconds: int = 0
    paused: bool = False


class WorkloadStatus(Object, frozen=True):
    """The part of a controller's ``status`` that says how many pods it has."""

    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class Workload(KubeObject, frozen=True):
    """A ReplicaSet, Deployment, StatefulSet, DaemonSet, ReplicationController or Job."""

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
