"""The ways in which cached objects are looked up."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import KubeObject, Pod


def by_node(pod: Pod) -> Iterable[str]:
    """Pods by the node they are bound to; unbound pods under the empty name."""
    return (pod.spec.node_name,)


def by_controller(obj: KubeObject) -> Iterable[str]:
    """Objects by the uid of the owner that manages them; unmanaged ones nowhere."""
    owner = obj.metadata.controller()
    return (owner.uid,) if owner is not None else ()
