"""What a pod requests, and what it uses once it is on a node.

Follows ``k8s.io/component-helpers/resource/helpers.go`` (PodRequests, AggregateContainerRequests) and the resources
that count for scheduling in ``pkg/scheduler/util`` and ``pkg/apis/core/v1/helper``, with the gates that are on by
default in 1.36: sidecars, pod-level resources, in-place resize of containers and of pods. Sums are exact and rounded
up once.
"""

from __future__ import annotations

from fractions import Fraction

from moorage.objects import quantity
from moorage.objects.base import Quantities
from moorage.objects.pod import Container, Pod

from .selectors import valid_key

Amounts = dict[str, Fraction]

_LIMIT = 2**50
"""A pebibyte, or a trillion cores: what is more is capped, so that sums on a node never leave 64 bits."""


class RequestError(ValueError):
    """A quantity of a pod that cannot be used; ``field`` names it."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


def counted(name: str) -> bool:
    """Whether kube-scheduler counts this resource (``IsScalarResourceName``, and its three own resources)."""
    if name in ("cpu", "memory", "ephemeral-storage"):
        return True
    if name.startswith(("hugepages-", "attachable-volumes-")) or "kubernetes.io/" in name:
        return True
    return "/" in name and not name.startswith("requests.") and valid_key("requests." + name)


def units(name: str, amount: Fraction) -> int:
    """Return whole units, rounded up: thousandths of a CPU, bytes, or pieces of anything else."""
    scaled = amount * 1000 if name == "cpu" else amount
    return min(-(-scaled.numerator // scaled.denominator), _LIMIT)


def allocatable(quantities: Quantities) -> tuple[dict[str, int], dict[str, str]]:
    """Read what a node offers.

    Args:
        quantities: ``status.allocatable``.

    Returns:
        Units per resource ("pods" included), and the text of every resource that cannot be read.
    """
    offered: dict[str, int] = {}
    broken: dict[str, str] = {}
    for name, text in quantities.items():
        if name != "pods" and not counted(name):
            continue
        try:
            offered[name] = units(name, quantity.parse(text))
        except quantity.QuantityError as error:
            broken[name] = str(error)
    return offered, broken


def pending(pod: Pod) -> dict[str, int]:
    """Return the units per resource that a pod requests before it has a node.

    Raises:
        RequestError: a quantity does not parse or is negative.
    """
    return _units(_pod_requests(pod, use_status=False))


def placed(pod: Pod) -> dict[str, int]:
    """Return the units per resource that a pod uses on its node; a resize under way counts at its largest.

    Raises:
        RequestError: a quantity does not parse or is negative.
    """
    return _units(_pod_requests(pod, use_status=True))


def has_status_resources(pod: Pod) -> bool:
    """Whether the pod's status may change what it uses."""
    status = pod.status
    containers = status.container_statuses + status.init_container_statuses
    return status.resources is not None or any(container.resources is not None for container in containers)


def resize_infeasible(pod: Pod) -> bool:
    """Whether the kubelet reports that a resize is infeasible (IsPodResizeInfeasible)."""
    for condition in pod.status.conditions:
        if condition.type == "PodResizePending":
            return condition.reason == "Infeasible"
    return False


def _units(amounts: Amounts) -> dict[str, int]:
    return {name: whole for name, amount in amounts.items() if counted(name) and (whole := units(name, amount))}


def _pod_requests(pod: Pod, *, use_status: bool) -> Amounts:
    total = _containers(pod, use_status=use_status)
    spec = pod.spec
    level = _read(spec.resources.requests, "spec.resources.requests") if spec.resources else {}
    supported = {name: value for name, value in level.items() if _pod_level(name)}
    if supported:
        if use_status and pod.status.resources is not None:
            effective = _effective(
                pod,
                level,
                _read(pod.status.resources.requests, "status.resources.requests"),
                _read(pod.status.allocated_resources, "status.allocatedResources"),
            )
            supported = {name: effective.get(name, Fraction(0)) for name in supported}
        total.update(supported)
    _add(total, _read(spec.overhead, "spec.overhead"))
    return total


def _pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


def _containers(pod: Pod, *, use_status: bool) -> Amounts:
    total: Amounts = {}
    for index, container in enumerate(pod.spec.containers):
        _add(total, _container(pod, container, f"spec.containers[{index}]", use_status=use_status))
    sidecars: Amounts = {}
    largest: Amounts = {}
    for index, container in enumerate(pod.spec.init_containers):
        sidecar = container.restart_policy == "Always"
        own = _container(pod, container, f"spec.initContainers[{index}]", use_status=use_status and sidecar)
        if sidecar:
            _add(total, own)
            _add(sidecars, own)
            own = sidecars
        else:
            own = dict(own)
            _add(own, sidecars)
        _maximum(largest, own)
    _maximum(total, largest)
    return total


def _container(pod: Pod, container: Container, field: str, *, use_status: bool) -> Amounts:
    own = _read(container.resources.requests, f"{field}.resources.requests")
    if not use_status:
        return own
    # Upstream's map of statuses lets the last one of a name win, init containers after containers.
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    status = next((status for status in reversed(statuses) if status.name == container.name), None)
    if status is None or status.resources is None:
        return own
    actuated = _read(status.resources.requests, f"status of container {container.name}: resources.requests")
    allocated = _read(status.allocated_resources, f"status of container {container.name}: allocatedResources")
    return _effective(pod, own, actuated, allocated)


def _effective(pod: Pod, spec: Amounts, actuated: Amounts, allocated: Amounts) -> Amounts:
    result = dict(actuated)
    _maximum(result, allocated)
    if not resize_infeasible(pod):
        _maximum(result, spec)
    return result


def _read(quantities: Quantities, field: str) -> Amounts:
    amounts: Amounts = {}
    for name, text in quantities.items():
        try:
            amount = quantity.parse(text)
        except quantity.QuantityError as error:
            raise RequestError(f"{field}[{name}]", str(error)) from error
        if amount < 0:
            raise RequestError(f"{field}[{name}]", f"{text!r} is negative")
        amounts[name] = amount
    return amounts


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _maximum(total: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        if name not in total or amount > total[name]:
            total[name] = amount
