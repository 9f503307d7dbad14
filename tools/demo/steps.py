"""The demo's story, step by step, against any API server; what is seen at the end is checked, not assumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from moorage.kube import errors, resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.objects import KubeObject, Node, Pod

from . import manifests

T = TypeVar("T", bound=KubeObject)

STEP_TIMEOUT = 90.0
LEASE_PERIOD = 10.0


class DemoError(Exception):
    """A step did not end as it must."""


@dataclass(frozen=True)
class Outcome:
    """What the demo saw at its end."""

    pod: str
    planned_node: str
    node: str
    phase: str
    kubelet_version: str
    placeholder_uid: str
    node_uid: str
    bound_before_machine: bool

    def problems(self) -> list[str]:
        """What is not as promised; empty when all is well."""
        found = []
        if self.node != self.planned_node:
            found.append(f"{self.pod} is on {self.node or 'no node'}, planned was {self.planned_node}")
        if self.phase != "Running":
            found.append(f"{self.pod} is {self.phase or 'unknown'}, not Running")
        if not self.kubelet_version:
            found.append(f"no kubelet has adopted {self.planned_node}")
        if self.node_uid != self.placeholder_uid:
            found.append(f"{self.planned_node} was replaced instead of adopted")
        if not self.bound_before_machine:
            found.append(f"{self.pod} was bound only after the machine had come")
        return found


class Story:
    """Creates the placeholder, binds the pod, lets a kubelet adopt.

    Args:
        client: reads and writes.
        nodes: cache of nodes, running.
        pods: cache of pods, running.
        say: prints one line about a step that has ended.
    """

    def __init__(
        self, client: Client, nodes: WatchCache[Node], pods: WatchCache[Pod], say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._pods = pods
        self._say = say

    async def tell(self, start_kubelet: Callable[[str], object]) -> Outcome:
        """Run all steps.

        Args:
            start_kubelet: starts a kubelet of the given node name; blocking.

        Raises:
            DemoError: a step did not end within its time.
            KubeError: the API server refused something.
        """
        await self._client.create(resources.NAMESPACES, {"metadata": {"name": manifests.NAMESPACE}})
        await self._client.create(resources.DEPLOYMENTS, manifests.deployment("web"), manifests.NAMESPACE)
        pod = await self._until(self._pods, _is_demo_pod, "the Deployment's pod to appear")
        self._say(f"pod {pod.key} is Pending: there is no node")

        node = await self._client.create(resources.NODES, manifests.placeholder(manifests.NODE))
        self._say(f"placeholder {manifests.NODE} created: 1 core and 3.75 GiB, promised before the machine exists")
        heartbeat = asyncio.create_task(self._heartbeat(node))
        try:
            await self._client.bind(pod.metadata.name, manifests.NAMESPACE, uid=pod.metadata.uid, node=manifests.NODE)
            bound_before = not (await self._client.get(resources.NODES, manifests.NODE)).has_kubelet
            self._say(f"pod {pod.key} bound to {manifests.NODE} through pods/binding")

            await asyncio.to_thread(start_kubelet, manifests.NODE)
            await self._until(self._nodes, lambda n: n.key == manifests.NODE and n.has_kubelet, "a kubelet to adopt it")
            self._say(f"a kubelet has joined and adopted {manifests.NODE}")
        finally:
            heartbeat.cancel()
        await self._until(self._nodes, lambda n: n.key == manifests.NODE and n.ready, "the node to become Ready")
        await self._remove_taint()
        running = await self._until(
            self._pods, lambda p: p.metadata.uid == pod.metadata.uid and p.status.phase != "Pending", "the pod to start"
        )
        self._say(f"pod {pod.key} is {running.status.phase}")
        return await self._outcome(running, node.metadata.uid, bound_before)

    async def _outcome(self, pod: Pod, placeholder_uid: str, bound_before: bool) -> Outcome:
        """Ask the server, not the cache: this is the check."""
        seen = await self._client.get(resources.PODS, pod.metadata.name, pod.metadata.namespace)
        node = await self._client.get(resources.NODES, manifests.NODE)
        return Outcome(
            pod=seen.key,
            planned_node=manifests.NODE,
            node=seen.spec.node_name,
            phase=seen.status.phase,
            kubelet_version=node.status.node_info.kubelet_version,
            placeholder_uid=placeholder_uid,
            node_uid=node.metadata.uid,
            bound_before_machine=bound_before,
        )

    async def _heartbeat(self, node: Node) -> None:
        """Hold the node's Lease in server time until the kubelet does."""
        name = node.metadata.name
        while True:
            now = self._client.transport.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            body = manifests.lease(name, node.metadata.uid, now)
            try:
                await self._client.apply(resources.LEASES, name, "kube-node-lease", body=body, force=True)
            except errors.KubeError as error:
                self._say(f"lease of {name} not renewed, trying again: {error}")
            await asyncio.sleep(LEASE_PERIOD)

    async def _remove_taint(self) -> None:
        """Open the node for everybody, on exactly the list of taints that was read."""
        while True:
            node = await self._client.get(resources.NODES, manifests.NODE)
            kept = [
                {"key": t.key, "value": t.value, "effect": t.effect}
                for t in node.spec.taints
                if t.key != manifests.PREPARING
            ]
            try:
                await self._client.patch(
                    resources.NODES,
                    manifests.NODE,
                    changes={"spec": {"taints": kept}},
                    uid=node.metadata.uid,
                    resource_version=node.metadata.resource_version,
                )
            except errors.Conflict as error:
                if error.cause is not errors.ConflictCause.RESOURCE_VERSION:
                    raise
            else:
                return

    async def _until(self, cache: WatchCache[T], condition: Callable[[T], bool], what: str) -> T:
        """The first object for which the condition holds, now or later."""
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def look(obj: T | None) -> None:
            if obj is not None and not found.done() and condition(obj):
                found.set_result(obj)

        unsubscribe = cache.subscribe(lambda change: look(change.new))
        try:
            # Not wait_for: before Python 3.12 it swallows a cancellation that coincides with the result.
            async with asyncio.timeout(STEP_TIMEOUT):
                return await found
        except TimeoutError as error:
            raise DemoError(f"waited {STEP_TIMEOUT:g} s for {what}") from error
        finally:
            unsubscribe()


def _is_demo_pod(pod: Pod) -> bool:
    return pod.metadata.namespace == manifests.NAMESPACE and not pod.metadata.deletion_timestamp
