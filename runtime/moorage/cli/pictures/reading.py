"""A cluster's nodes, pods and reservations as a scene; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from moorage.objects import Node, Pod
from moorage.pinner.commands.overview import Held, Overview
from moorage.pinner.names import PIN_ANNOTATION, marked, preparing
from moorage.scheduling import requests

from ..attention import why
from .scene import Block, NodeState, PodState, Row, Scene


def node_state(node: Node, *, switched_on: bool = False) -> NodeState:
    """How far a node is.

    Args:
        node: as the API server has it.
        switched_on: whether it is known that its machine was started.
    """
    if not node.has_kubelet:
        return NodeState.JOINING if switched_on or not marked(node) else NodeState.PLACEHOLDER
    closed = preparing(node) == "NoSchedule"  # one that only prefers stays for as long as pods are expected
    if node.ready:
        return NodeState.JOINING if closed else NodeState.READY
    return NodeState.JOINING if marked(node) else NodeState.NOT_READY


def pod_state(pod: Pod) -> PodState:
    """How far a pod is."""
    if pod.status.phase == "Failed":
        return PodState.FAILED
    if pod.status.phase == "Running":
        return PodState.RUNNING
    if not pod.spec.node_name:
        return PodState.PENDING
    return PodState.PINNED if PIN_ANNOTATION in pod.metadata.annotations else PodState.STARTING


def owner(pod: Pod) -> str:
    """Whose pod it is, as ``namespace/name``: a Deployment by the name of its ReplicaSet; a bare pod is its own."""
    meta = pod.metadata
    controller = meta.controller()
    name = pod.deployment or (controller.name if controller is not None else meta.name)
    return f"{meta.namespace}/{name}"


class Reader:
    """Makes scenes. A pod whose resourceVersion is the same is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Block]] = {}

    def scene(self, nodes: Iterable[Node], pods: Iterable[Pod], found: Overview, now: datetime) -> Scene:
        """The cluster as it is.

        Args:
            nodes: all nodes.
            pods: all pods.
            found: what is promised.
            now: the API server's time.
        """
        on = self._blocks(pods)
        promises: defaultdict[str, list[Held]] = defaultdict(list)
        for held in found.nodes:
            promises[held.joined_as or held.node].append(held)
        rows = []
        for node in nodes:
            name = node.metadata.name
            rows.append(self._row(node, on.get(name, ()), promises.pop(name, ()), now))
        for name, helds in promises.items():
            rows.append(Row(name, NodeState.PLANNED, 0, (), self._promised(helds), _why(helds, now)))
        return Scene(tuple(rows), tuple(on.get("", ())))

    def _blocks(self, pods: Iterable[Pod]) -> Mapping[str, list[Block]]:
        on: defaultdict[str, list[Block]] = defaultdict(list)
        known: dict[str, tuple[str, Block]] = {}
        for pod in pods:
            if pod.status.phase == "Succeeded":
                continue
            version = pod.metadata.resource_version
            last = self._known.get(pod.key)
            block = last[1] if last is not None and version and last[0] == version else _block(pod)
            known[pod.key] = version, block
            on[pod.spec.node_name].append(block)
        self._known = known
        return on

    def _row(self, node: Node, blocks: Iterable[Block], helds: Iterable[Held], now: datetime) -> Row:
        helds = tuple(helds)
        offered, _ = requests.allocatable(node.status.allocatable)
        state, reason = node_state(node), _why(helds, now)
        return Row(node.metadata.name, state, offered.get("cpu", 0), tuple(blocks), self._promised(helds), reason)

    def _promised(self, helds: Iterable[Held]) -> tuple[tuple[str, int], ...]:
        """How many pods are still to come, by owner; of a pod that is pinned by name the owner is the pod's."""
        count: Counter[str] = Counter()
        for held in helds:
            for pinned in held.pods:
                if pinned.state == "pending":
                    last = self._known.get(pinned.pod)
                    count[last[1].owner if last is not None else pinned.pod] += 1
            for slot in held.slots:
                namespace, _, name = slot.owner.split("/", 2)
                count[f"{namespace}/{name}"] += slot.left
        return tuple(sorted((name, number) for name, number in count.items() if number))


def _block(pod: Pod) -> Block:
    try:
        cpu = requests.placed(pod).get("cpu", 0)
    except requests.RequestError:
        cpu = 0
    return Block(owner(pod), pod_state(pod), cpu)


def _why(helds: Iterable[Held], now: datetime) -> str:
    return "; ".join(filter(None, (why(held, now) for held in helds)))
