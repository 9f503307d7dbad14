"""What pod pinning and eviction have left behind in a cluster, and how each thing is removed without hurting anybody.

For a person (``moorage cleanup``), with pod pinner and evictor stopped. Only what is surely ours counts: placeholders
that carry our mark, taints and labels under our names, reservations of nodes and slots, nodes whose drain has no end,
and the webhook. A Node with a kubelet and a pod that runs are never deleted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from moorage.drain import manual_rollback
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.objects import KubeObject, MutatingWebhookConfiguration, Node, Pod
from moorage.reservations import NodeReservation, SlotReservation, destinations, read

from ..decisions import adoption, kubelet, pins
from ..names import FINALIZER, PLACEHOLDER_LABEL, RESERVATION_ANNOTATION, WEBHOOK, preparing

KIND_PODS = "Pod"
KIND_NODE = "Node"
KIND_RESERVATION = "NodeReservation"
KIND_SLOTS = "SlotReservation"
KIND_WEBHOOK = "MutatingWebhookConfiguration"
GIVE_BACK = "give back"
TRIES = 5
"""How often one thing is removed that somebody has written to meanwhile: each time it is looked at anew."""

T = TypeVar("T", bound=KubeObject)
Target: TypeAlias = Node | Pod | NodeReservation | SlotReservation | MutatingWebhookConfiguration


@dataclass(frozen=True, eq=False)
class Leftover:
    """One thing that was left behind.

    Attributes:
        kind: of the object.
        name: of the object, with its namespace.
        action: what would be done: ``delete``, ``clean`` or ``give back``.
        detail: why it counts as left behind.
        done: the action in the past tense.
        target: the object as it was found.
    """

    kind: str
    name: str
    action: str
    detail: str
    done: str
    target: Target


async def find(client: Client) -> list[Leftover]:
    """Look for everything that was left behind.

    Args:
        client: of somebody who may list nodes, pods and reservations, and webhook configurations.

    Returns:
        What there is, in the order in which it is to be removed.

    Raises:
        KubeError: the cluster could not be looked at.
    """
    nodes, pods, webhooks = await asyncio.gather(
        client.list(resources.NODES), client.list(resources.PODS), client.list(resources.MUTATING_WEBHOOKS)
    )
    reservations, slots = (
        await _all(client, resources.NODE_RESERVATIONS),
        await _all(client, resources.SLOT_RESERVATIONS),
    )
    return [*_asked(webhooks), *select(nodes, pods, reservations), *_slots(slots)]


async def _all(client: Client, kind: Resource[T]) -> tuple[T, ...]:
    """All objects of a kind; none when it is not defined (any more)."""
    try:
        return await client.list(kind)
    except errors.NotFound:
        return ()


def _slots(reservations: Iterable[SlotReservation]) -> Iterator[Leftover]:
    """What is reserved on nodes that run: an evictor takes it away itself, unless it was killed."""
    for each in reservations:
        detail = f"slots reserved by {destinations.read(each).spec.by}"
        yield Leftover(KIND_SLOTS, each.metadata.name, "delete", detail, "deleted", each)


def _asked(configurations: Iterable[MutatingWebhookConfiguration]) -> Iterator[Leftover]:
    """The configurations by which the API server asks a pinner about pods, whether or not one is there."""
    for each in configurations:
        if any(webhook.get("name") == WEBHOOK for webhook in each.webhooks):
            detail = "the API server asks a pod pinner about each pod"
            yield Leftover(KIND_WEBHOOK, each.metadata.name, "clean", detail, "emptied", each)


def select(nodes: Iterable[Node], pods: Iterable[Pod], reservations: Iterable[NodeReservation]) -> list[Leftover]:
    """What of a cluster was left behind: nominations, pods on placeholders, placeholders, marks, reservations, drains.

    The order keeps a reservation until nothing is left that only it explains.
    """
    held: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in pods:
        held[pod.spec.node_name].append(pod)
    reservations = tuple(reservations)
    found_pods, found_nodes, marked = _nominated(held[""], reservations), [], []
    for node in nodes:
        name = node.metadata.name
        if drained := manual_rollback.left(node):
            marked.append(Leftover(KIND_NODE, name, GIVE_BACK, drained, "given back", node))
        if node.has_kubelet:
            if _marked(node):
                changes = adoption.withdraw(node, None)
                marked.append(Leftover(KIND_NODE, name, "clean", _marks(changes), "cleaned of our marks", node))
        elif RESERVATION_ANNOTATION in node.metadata.annotations or PLACEHOLDER_LABEL in node.metadata.labels:
            for pod in held[name]:
                if not kubelet.started(pod) and not pins.daemons_alive(pod):
                    detail = f"bound to placeholder {name}, which no machine has taken"
                    found_pods.append(Leftover(KIND_PODS, pod.key, "delete", detail, "deleted", pod))
            found_nodes.append(Leftover(KIND_NODE, name, "delete", "placeholder without a machine", "deleted", node))
    kept = [
        Leftover(KIND_RESERVATION, each.metadata.name, "delete", "reservation", "deleted", each)
        for each in reservations
    ]
    return [*found_pods, *found_nodes, *marked, *kept]


def _nominated(pending: Iterable[Pod], reservations: Iterable[NodeReservation]) -> list[Leftover]:
    """The pending pods with a nomination of ours: it would keep room from others for as long as the pod is there."""
    specs = ((each.metadata.name, read(each).spec) for each in reservations)
    ours = {(record.uid, spec.named(name)) for name, spec in specs for record in spec.nominations}
    return [
        Leftover(KIND_PODS, pod.key, "clean", f"nominated to node {node}", "cleaned of our nomination", pod)
        for pod in pending
        if (pod.metadata.uid, node := pod.status.nominated_node_name) in ours and not pod.finished
    ]


async def remove(client: Client, leftover: Leftover) -> None:
    """Remove one thing, if it still is what was found; what is gone already counts as removed.

    Raises:
        KubeError: it was not removed; a Conflict means that it has changed since it was found: look again.
    """
    for left in reversed(range(TRIES)):
        try:
            await _remove(client, leftover)
        except errors.NotFound:
            return
        except errors.Conflict as error:  # controllers write to Nodes and pods all the time
            if error.cause is not errors.ConflictCause.RESOURCE_VERSION or not left:
                raise
        else:
            return


async def _remove(client: Client, leftover: Leftover) -> None:
    target = leftover.target
    meta = target.metadata
    if isinstance(target, Pod) and leftover.action == "clean":
        await _clean_pod(client, target)
    elif isinstance(target, Pod):
        await _remove_pod(client, target)
    elif isinstance(target, Node) and leftover.action == GIVE_BACK:
        await manual_rollback.give_back(client, target)
    elif isinstance(target, Node) and leftover.action == "clean":
        await _clean_node(client, target)
    elif isinstance(target, Node):
        await _remove_placeholder(client, target)
    elif isinstance(target, SlotReservation):
        await client.delete(resources.SLOT_RESERVATIONS, meta.name, uid=meta.uid)
    elif isinstance(target, NodeReservation):
        await _remove_reservation(client, target)
    else:
        await _clean_webhook(client, target)


async def _clean_webhook(client: Client, found: MutatingWebhookConfiguration) -> None:
    """Take our webhook out of a configuration that nobody has written since: a pinner that runs would put it back."""
    meta = found.metadata
    now = await client.get(resources.MUTATING_WEBHOOKS, meta.name)
    version = meta.resource_version
    if (now.metadata.uid, now.metadata.resource_version) != (meta.uid, version):
        raise _changed("it has been written meanwhile: look again", f"patch mutatingwebhookconfiguration {meta.name}")
    kept = [each for each in found.webhooks if each.get("name") != WEBHOOK]
    changes = {"webhooks": kept}
    await client.patch(resources.MUTATING_WEBHOOKS, meta.name, changes=changes, uid=meta.uid, resource_version=version)


async def _clean_pod(client: Client, found: Pod) -> None:
    """Take a nomination of ours back from a pod as it is at this moment; the scheduler may have written to it."""
    now = await client.get(resources.PODS, found.metadata.name, found.metadata.namespace)
    meta = now.metadata
    same = now.status.nominated_node_name == found.status.nominated_node_name and not now.spec.node_name
    if meta.uid == found.metadata.uid and same:
        await client.patch(
            resources.PODS,
            meta.name,
            meta.namespace,
            changes={"status": {"nominatedNodeName": None}},
            uid=meta.uid,
            resource_version=meta.resource_version,
            subresource="status",
        )


async def _clean_node(client: Client, found: Node) -> None:
    """Take our marks off a node as it is at this moment."""
    now = await client.get(resources.NODES, found.metadata.name)
    meta = now.metadata
    if meta.uid == found.metadata.uid and _marked(now):
        changes = adoption.withdraw(now, None)
        version = meta.resource_version
        await client.patch(resources.NODES, meta.name, changes=changes, uid=meta.uid, resource_version=version)


async def _remove_pod(client: Client, found: Pod) -> None:
    """Delete a pod as it is at this moment, without grace: unless a kubelet has begun with it since it was found."""
    meta = found.metadata
    now = await client.get(resources.PODS, meta.name, meta.namespace)
    if now.metadata.uid != meta.uid:
        return
    if kubelet.started(now) or (kubelet.untouched(found) and not kubelet.untouched(now)):
        raise _changed("its kubelet has begun with it meanwhile: look again", f"delete pod {found.key}")
    version = now.metadata.resource_version
    await client.delete(
        resources.PODS, meta.name, meta.namespace, uid=meta.uid, resource_version=version, grace_seconds=0
    )


async def _remove_placeholder(client: Client, found: Node) -> None:
    """Delete a placeholder as it is at this moment: renewed labels do not matter, a kubelet does."""
    meta = found.metadata
    now = await client.get(resources.NODES, meta.name)
    if now.metadata.uid != meta.uid:
        return
    if now.has_kubelet:
        raise _changed("a machine has joined meanwhile: look again", f"delete node {meta.name}")
    version = now.metadata.resource_version
    await client.delete(resources.NODES, meta.name, uid=meta.uid, resource_version=version)


def _changed(why: str, request: str) -> errors.Conflict:
    return errors.Conflict(409, errors.Status(message=why, reason="Conflict", code=409), request=request)


async def _remove_reservation(client: Client, found: NodeReservation) -> None:
    meta = found.metadata
    if FINALIZER in meta.finalizers:
        kept = [finalizer for finalizer in meta.finalizers if finalizer != FINALIZER]
        await client.patch(
            resources.NODE_RESERVATIONS, meta.name, changes={"metadata": {"finalizers": kept}}, uid=meta.uid
        )
    await client.delete(resources.NODE_RESERVATIONS, meta.name, uid=meta.uid)


def _marked(node: Node) -> bool:
    """Whether a real node carries what only a placeholder should.

    Adoption takes taint and labels off in one write: without one of our own marks the other labels are somebody else's.
    """
    return bool(preparing(node)) or PLACEHOLDER_LABEL in node.metadata.labels


def _marks(changes: dict[str, Any]) -> str:
    marks = []
    if "spec" in changes:
        marks.append("our taint")
    marks += [f"label {key}" for key in changes.get("metadata", {}).get("labels", {})]
    return ", ".join(marks)
