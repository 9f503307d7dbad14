"""A machine that is still starting, and pins that wait until it has started (``bindWhen: StartupTaintsGone``). Pure.

A pod that is bound to a placeholder is started by the kubelet as soon as that has joined, whatever taints are still on
the Node: the network or the mesh that a startup taint stands for may not be there yet. Pins that wait for it are
counted on the node and not bound; pods with a node of their own are never unbound again.
"""

from __future__ import annotations

from collections.abc import Iterator

from moorage.objects import Node, Taint
from moorage.protocol import ReasonCode
from moorage.reservations import Promise

from ..names import LIFECYCLE_TAINTS, NOT_READY, PREPARING, UNREACHABLE
from ..refusal import Refusal

_WAITS = "pods are bound once it is Ready and its startup taints are gone"
_NO_EXECUTE = "NoExecute"
_NOT_READY = tuple(Taint(key=key, effect=_NO_EXECUTE) for key in (NOT_READY, UNREACHABLE))


def taint_of_start(node: Node, promise: Promise | None) -> Refusal | None:
    """What says that a node that is Ready is still starting: its first such taint; None when it has none.

    Args:
        node: the Node.
        promise: says which taints pass; those that Kubernetes itself sets while a node starts are among them.
    """
    taint = next(_passing(node, promise), None)
    return _still_has(node, taint) if taint is not None else None


def removing_taints(node: Node | None, promise: Promise | None) -> tuple[Taint, ...]:
    """The taints by which a machine that is still starting removes the pods that do not tolerate them (NoExecute).

    The fit check lets them pass, because they go. A Node that a machine brings along has its startup taints as they
    are, and one that is not Ready gets those of Kubernetes; so does a placeholder whose Lease nobody has renewed.

    Args:
        node: the Node; None while there is none.
        promise: says which taints pass.
    """
    if node is None:
        return ()
    there = (taint for taint in _passing(node, promise) if taint.effect == _NO_EXECUTE)
    return (*there, *(_NOT_READY if node.has_kubelet and not node.ready else ()))


def removing_waits_for(node: Node | None, promise: Promise | None) -> Refusal | None:
    """What a node that is Ready is kept closed for while pods are still to come: they would be removed again; or None.

    Nobody else misses the room meanwhile: what does not tolerate the taint cannot be scheduled there either.
    """
    taints = removing_taints(node, promise)
    return _still_has(node, taints[0]) if node is not None and node.ready and taints else None


def _passing(node: Node, promise: Promise | None) -> Iterator[Taint]:
    """The taints of a node that pass; our own goes last, also where it is promised as a startup taint."""
    passing = {(taint.key, taint.value) for taint in promise.startup_taints} if promise is not None else set()
    for taint in node.spec.taints:
        if taint.key != PREPARING and (taint.key in LIFECYCLE_TAINTS or (taint.key, taint.value) in passing):
            yield taint


def _still_has(node: Node, taint: Taint) -> Refusal:
    return Refusal(ReasonCode.DEADLINE_PASSED, f"node {node.metadata.name} still has the taint {taint.key}")


def binding_waits_for(name: str, node: Node | None, promise: Promise | None) -> Refusal | None:
    """What pins to a node wait for before they are bound; None when they may be bound now.

    Args:
        name: of the node, for people.
        node: the Node; None while there is none.
        promise: what was promised; only one that says so lets pins wait.
    """
    if promise is None or not promise.binds_once_started:
        return None
    if node is None or not node.has_kubelet:
        return Refusal(ReasonCode.DEADLINE_PASSED, f"the machine of node {name} has not joined: {_WAITS}")
    if not node.ready:
        return Refusal(ReasonCode.DEADLINE_PASSED, f"node {node.metadata.name} is not Ready: {_WAITS}")
    taint = taint_of_start(node, promise)
    return Refusal(taint.reason, f"{taint.text}: {_WAITS}") if taint is not None else None
