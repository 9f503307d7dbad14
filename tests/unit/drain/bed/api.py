"""The API server in memory, with the Eviction API.

As pkg/registry/core/pod/storage/eviction.go: pods that do not run yet, have ended or are being deleted need no budget;
more than one budget is refused for good; a budget is asked, and decremented, before the pod's uid is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moorage.kube import errors
from tests.unit.pinner.bed import refusals
from tests.unit.pinner.bed.api import Api, Request
from tests.unit.pinner.bed.refusals import Json

_NO_BUDGET = ("Pending", "Succeeded", "Failed")


class EvictionApi(Api):
    """The server.

    Attributes:
        watchers: called for each pod just before it is evicted.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.watchers: list[Callable[[Json], None]] = []

    def carry_out(self, request: Request) -> Json:
        """Carry out a request."""
        return self._evict(request) if request.resource == "pods/eviction" else super().carry_out(request)

    def budgets_of(self, pod: Json) -> list[Json]:
        """The budgets that select a pod."""
        found = self.store.objects["poddisruptionbudgets"].values()
        return [each for each in found if selects(each, pod)]

    def _evict(self, request: Request) -> Json:
        pod = self.store.get("pods", request.key)
        if pod is None:
            raise refusals.not_found("pods", request.name)
        free = pod.get("status", {}).get("phase") in _NO_BUDGET or "deletionTimestamp" in pod["metadata"]
        if not free:
            self._spend(pod)
        wanted = request.body["deleteOptions"]["preconditions"]["uid"]
        if wanted != pod["metadata"]["uid"]:
            raise refusals.not_deleted("pods", request.name, "UID", wanted, pod["metadata"]["uid"])
        if "deletionTimestamp" not in pod["metadata"]:
            for watcher in self.watchers:
                watcher(pod)
        self._delete(Request("delete", "pods", request.namespace, request.name), pod)
        return {"kind": "Status", "status": "Success"}

    def _spend(self, pod: Json) -> None:
        budgets = self.budgets_of(pod)
        if len(budgets) > 1:
            text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise refusals.refusal(500, "", text)
        if not budgets:
            return
        budget, status = budgets[0], budgets[0].get("status", {})
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if not is_ready(pod):
            always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            if always or healthy >= desired > 0:
                return
        if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
            raise spent(
                f"The disruption budget {budget['metadata']['name']} is still being processed by the server.", 10
            )
        if status.get("disruptionsAllowed", 0) <= 0:
            text = f"The disruption budget {budget['metadata']['name']} needs {desired} healthy pods and has {healthy}"
            raise spent(text)
        changed = self.store.get("poddisruptionbudgets", f"{pod['metadata']['namespace']}/{budget['metadata']['name']}")
        assert changed is not None
        changed["status"]["disruptionsAllowed"] -= 1
        changed["status"].setdefault("disruptedPods", {})[pod["metadata"]["name"]] = self._stamp()
        self._store("poddisruptionbudgets", changed)


def spent(text: str, seconds: int = 0) -> errors.ApiError:
    """A budget that allows none now."""
    causes = [{"reason": "DisruptionBudget", "message": text}]
    details: dict[str, Any] = {"causes": causes} | ({"retryAfterSeconds": seconds} if seconds else {})
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return refusals.refusal(429, "TooManyRequests", message, **details)


def selects(budget: Json, pod: Json) -> bool:
    """Whether a budget (or a controller) selects a pod."""
    wanted = budget["spec"]["selector"]["matchLabels"]
    labels = pod["metadata"].get("labels", {})
    same = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and all(labels.get(key) == value for key, value in wanted.items())


def is_ready(pod: Json) -> bool:
    """Whether a pod says that it is ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
