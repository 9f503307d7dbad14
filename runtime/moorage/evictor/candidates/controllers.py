"""The controllers of a pod, from its direct owner to the topmost one, as far as they are known."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from moorage.objects import OwnerReference, Pod, Workload

from .view import View

KINDS = {
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("batch", "Job"),
    ("batch", "CronJob"),
}
"""Group and kind of the controllers that are looked up; of other controllers only the kind is known."""
_DEEPEST = 5


class Made(Enum):
    """What made a pod; the direct owner decides."""

    BARE = "nothing"
    REPLICATED = "a ReplicaSet or ReplicationController"
    STATEFUL_SET = "a StatefulSet"
    JOB = "a Job"
    DAEMON_SET = "a DaemonSet"
    STATIC = "a file on its node"
    UNKNOWN = "a controller of another kind"


_MADE = {
    ("apps", "ReplicaSet"): Made.REPLICATED,
    ("", "ReplicationController"): Made.REPLICATED,
    ("apps", "StatefulSet"): Made.STATEFUL_SET,
    ("batch", "Job"): Made.JOB,
    ("apps", "DaemonSet"): Made.DAEMON_SET,
    ("", "Node"): Made.STATIC,
}


class Controllers(NamedTuple):
    """The controllers of a pod.

    Attributes:
        made: by what it was made.
        direct_owner: kind and name, for people; empty when it has none.
        kinds: of all its controllers.
        objects: the known controllers, from the direct owner to the topmost one.
        missing: a direct owner that does not exist or is being deleted, for people.
        unseen: why a controller cannot be read, for people.
    """

    made: Made
    direct_owner: str = ""
    kinds: tuple[str, ...] = ()
    objects: tuple[Workload, ...] = ()
    missing: str = ""
    unseen: str = ""

    @property
    def replicas(self) -> int | None:
        """The wanted replicas: of the Deployment if there is one, a Job's parallelism; None when unknown."""
        if not self.objects or self.made is Made.DAEMON_SET:
            return None
        if self.made is Made.JOB:
            wanted = self.objects[0].spec.parallelism
            return 1 if wanted is None else wanted
        top = self.objects[-1] if self.kinds[len(self.objects) - 1] == "Deployment" else self.objects[0]
        return 1 if top.spec.replicas is None else top.spec.replicas


class Lookup:
    """Finds the controllers of pods; pods with the same owner share the result.

    Args:
        view: the objects.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[tuple[str, OwnerReference], Controllers] = {}

    def of(self, pod: Pod) -> Controllers:
        """The controllers of a pod."""
        if pod.is_mirror:
            return Controllers(Made.STATIC)
        owner = pod.metadata.controller()
        if owner is None:
            return Controllers(Made.BARE)
        key = (pod.metadata.namespace, owner)
        controllers = self._known.get(key)
        if controllers is None:
            controllers = self._known[key] = self._follow(pod.metadata.namespace, owner)
        return controllers

    def _follow(self, namespace: str, direct: OwnerReference) -> Controllers:
        made = _MADE.get(_group_kind(direct), Made.UNKNOWN)
        direct_owner = f"{direct.kind} {direct.name}" if made is not Made.UNKNOWN else _foreign(direct)
        kinds: list[str] = []
        objects: list[Workload] = []
        owner: OwnerReference | None = direct
        while owner is not None and len(kinds) < _DEEPEST:
            kinds.append(owner.kind)
            if _group_kind(owner) not in KINDS:
                break
            key = f"{namespace}/{owner.name}"
            if doubt := self._view.doubt(owner.kind, key):
                return Controllers(made, direct_owner, tuple(kinds), tuple(objects), unseen=doubt)
            there = self._view.workloads.get(owner.kind, {}).get(key)
            if there is None or there.metadata.uid != owner.uid:
                break
            objects.append(there)
            owner = there.metadata.controller()
        missing = ""
        if not objects and made not in (Made.UNKNOWN, Made.STATIC):
            missing = f"there is no {direct_owner} with uid {direct.uid}"
        elif objects and objects[0].metadata.deletion_timestamp is not None:
            missing = f"{direct_owner} is being deleted"
        return Controllers(made, direct_owner, tuple(kinds), tuple(objects), missing)


def owner_of(pod: Pod, controllers: Controllers) -> str:
    """Return the owner that an eviction counts for: the Deployment, for pods of any of its ReplicaSets."""
    if controllers.objects:
        return controllers.objects[-1].metadata.uid
    owner = pod.metadata.controller()
    return owner.uid if owner is not None else pod.metadata.uid


def _group_kind(owner: OwnerReference) -> tuple[str, str]:
    group, slash, _ = owner.api_version.partition("/")
    return (group if slash else "", owner.kind)


def _foreign(owner: OwnerReference) -> str:
    return f"{owner.kind or 'of no kind'} {owner.name} ({owner.api_version or 'no apiVersion'})"
