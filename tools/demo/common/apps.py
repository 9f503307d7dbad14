"""The Deployments that a demo empties nodes below: how many pods each has, and how many it must keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

POD_MEMORY = "128Mi"
_UNAVAILABLE = 25
"""Percent of the replicas that a rolling update may take away, unless a Deployment says otherwise."""


@dataclass(frozen=True)
class App:
    """One Deployment.

    Attributes:
        name: of it.
        replicas: how many pods.
        cpu: what each requests, in milli-cores.
        budget: how many of them a PodDisruptionBudget lets be missing; None: there is no budget.
    """

    name: str
    replicas: int
    cpu: int
    budget: int | None = None

    @property
    def floor(self) -> int:
        """How many pods must be Ready at any time."""
        if self.budget is not None:
            return self.replicas - self.budget
        return max(1, self.replicas - max(1, self.replicas * _UNAVAILABLE // 100))


def deployment(app: App, *, grace: int, min_ready: int = 0, devices: Mapping[str, str] | None = None) -> Json:
    """The pods of one app, which run anywhere.

    Args:
        app: which.
        grace: seconds that a pod gets to end.
        min_ready: seconds that a pod must be Ready until it counts as available.
        devices: what each pod wants besides CPU, by resource name.
    """
    selector = {"matchLabels": {"app": app.name}}
    template = pod_template(app.name, app.cpu, grace=grace, devices=devices)
    spec = {"replicas": app.replicas, "minReadySeconds": min_ready, "selector": selector, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app.name}, "spec": spec}


def budget(app: App) -> Json:
    """The PodDisruptionBudget of an app that has one."""
    spec = {"maxUnavailable": app.budget, "selector": {"matchLabels": {"app": app.name}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app.name}, "spec": spec}


def pod_template(name: str, cpu: int, *, grace: int, devices: Mapping[str, str] | None = None) -> Json:
    """A pod of one container, whose image nobody pulls."""
    resources: Json = {"requests": {"cpu": f"{cpu}m", "memory": POD_MEMORY}}
    if devices:
        resources["limits"] = dict(devices)
    container = {"name": name, "image": f"registry.invalid/{name}:1", "resources": resources}
    spec = {
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {"metadata": {"labels": {"app": name}}, "spec": spec}
