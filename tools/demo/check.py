"""What is the case at the end, asked from the API server itself: this is the demo's verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Node, Pod

from . import manifests
from .scenario import Machine, as_bought, bought, shape

T = TypeVar("T")
PATIENCE = 30.0


@dataclass(frozen=True)
class Alone:
    """What kube-scheduler alone has made of the same pods on the same machines.

    Attributes:
        pods: how many there are.
        as_bought: how many are on a node that was bought for them; pods of one Deployment count as alike.
        pending: how many have no node.
    """

    pods: int
    as_bought: int
    pending: int


@dataclass(frozen=True)
class Outcome:
    """The checked end of a demo.

    Attributes:
        pods: how many pods the plan placed.
        nodes: how many nodes it promised.
        placement: node by pod, as the API server has it.
        shape: how many pods of each app are on each node.
        problems: what is not as planned, a sentence each; empty when all is well.
        seconds: what the story took, without starting the cluster and without the comparison.
        as_bought: how many pods are on a node that was bought for them.
        alone: the comparison with kube-scheduler alone; None when there was none.
    """

    pods: int
    nodes: int
    placement: Mapping[str, str]
    shape: Mapping[str, Mapping[str, int]]
    problems: tuple[str, ...] = ()
    seconds: float = field(default=0.0)
    as_bought: int = 0
    alone: Alone | None = None


async def verify(client: Client, machines: Sequence[Machine], placeholders: Mapping[str, str]) -> Outcome:
    """Compare the cluster with the plan.

    Args:
        client: reads.
        machines: the plan.
        placeholders: uid of each placeholder Node, by name.

    Raises:
        KubeError: the API server did not answer for half a minute.
    """
    pods = await _patiently(lambda: client.list(resources.PODS, manifests.NAMESPACE, labels=manifests.SELECTOR))
    nodes = await _patiently(lambda: client.list(resources.NODES, labels=manifests.SELECTOR))
    placement = {pod.key: pod.spec.node_name for pod in pods}
    apps = {pod.key: pod.metadata.labels.get("app", "") for pod in pods}
    found = shape(placement, apps)
    return Outcome(
        pods=sum(len(machine.pods) for machine in machines),
        nodes=len(machines),
        placement=placement,
        shape=found,
        as_bought=as_bought(bought(machines), found),
        problems=(*pod_problems(machines, pods), *node_problems(machines, nodes, placeholders)),
    )


def pod_problems(machines: Sequence[Machine], pods: Sequence[Pod]) -> list[str]:
    """Each planned pod is the one that was planned, on its node, running; nothing else is there or Failed."""
    by_uid = {pod.metadata.uid: pod for pod in pods}
    problems = []
    for machine in machines:
        for planned in machine.pods:
            pod = by_uid.pop(planned.uid, None)
            if pod is None:
                problems.append(f"pod {planned.key} is gone: it was deleted or made again")
            elif pod.spec.node_name != machine.name:
                where = pod.spec.node_name or "no node"
                problems.append(f"pod {pod.key} is on {where}, planned was {machine.name}")
            elif pod.status.phase != "Running":
                problems.append(f"pod {pod.key} on {machine.name} is {_phase(pod)}, not Running")
    problems += [f"pod {pod.key} was not planned ({_phase(pod)})" for pod in by_uid.values()]
    return problems


def node_problems(machines: Sequence[Machine], nodes: Sequence[Node], placeholders: Mapping[str, str]) -> list[str]:
    """Each planned node is the Node that was its placeholder, adopted, Ready and open; there is no other."""
    by_name = {node.metadata.name: node for node in nodes}
    found = (open_problem(by_name.pop(each.name, None), each.name, placeholders) for each in machines)
    return [*filter(None, found), *(f"node {name} was not planned" for name in by_name)]


def open_problem(node: Node | None, name: str, placeholders: Mapping[str, str]) -> str:
    """Why a node is not the one that was promised, adopted, Ready and open; empty when it is."""
    if node is None:
        return f"node {name} does not exist"
    if not node.has_kubelet:
        return f"node {name} is still a placeholder"
    if node.metadata.uid != placeholders.get(name):
        return f"node {name} was replaced instead of adopted"
    if not node.ready:
        return f"node {name} is not Ready"
    if any(taint.key == manifests.PREPARING for taint in node.spec.taints):
        return f"node {name} still has the taint {manifests.PREPARING}"
    return ""


def _phase(pod: Pod) -> str:
    reason = f" ({pod.status.reason})" if pod.status.reason else ""
    return f"{pod.status.phase or 'unknown'}{reason}"


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while no answer comes: the API server may just be coming back."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask()
        except (errors.ConnectionLost, errors.ServerError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.5)
