"""Features of the kubelet that a pod needs (``plugins/nodedeclaredfeatures``)."""

from __future__ import annotations

from typing import Protocol

from moorage.objects.pod import PodSpec
from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin

_REGISTERED = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
    "UserNamespacesHostNetworkSupport",
)


def required_features(spec: PodSpec) -> tuple[str, ...]:
    """Return the features that a pod needs (``k8s.io/component-helpers/nodedeclaredfeatures/features``)."""
    needed = []
    for container in (*spec.containers, *spec.init_containers):
        if any(rule.action == "RestartAllContainers" for rule in container.restart_policy_rules):
            needed.append("RestartAllContainersOnContainerExits")
            break
    if spec.host_network and spec.host_users is False:
        needed.append("UserNamespacesHostNetworkSupport")
    return tuple(needed)


def missing_features(needed: tuple[str, ...], declared: tuple[str, ...]) -> tuple[str, ...]:
    """Return the needed features that are not declared; the list is read as sorted, as upstream's TryMap does."""
    if not needed:
        return ()
    known = set()
    position = 0
    for name in _REGISTERED:
        while position < len(declared) and declared[position] < name:
            position += 1
        if position < len(declared) and declared[position] == name:
            known.add(name)
            position += 1
    return tuple(name for name in needed if name not in known)


class _PodClass(Protocol):
    @property
    def features(self) -> tuple[str, ...]: ...


class NodeDeclaredFeatures(Plugin[_PodClass]):
    """A node must declare every feature that the pod needs."""

    node_only = True

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod that needs no feature."""
        return not pod_class.features

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes that lack a feature."""
        needed, declared = pod_class.features, self._nodes.features
        mask &= declared.table(lambda features: not missing_features(needed, features or ()))[declared.ids]

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the missing features."""
        missing = missing_features(pod_class.features, self._nodes.record(slot).features)
        return [Finding(Reason.FEATURE, "node status.declaredFeatures", ", ".join(missing))] if missing else []
