"""Indexes of cached objects."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.objects import KubeObject, Pod


def by_node(pod: Pod) -> Iterable[str]:
    """Pods by the node that they are bound to. Unbound pods have the empty name."""
    return (pod.spec.node_name,)


def by_controller(obj: KubeObject) -> Iterable[str]:
    """Objects by the uid of their controller. Objects without one are in no entry."""
    owner = obj.metadata.controller()
    return (owner.uid,) if owner is not None else ()
