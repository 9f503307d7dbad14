"""Reads what an installation has to fit. Where a right is missing, the reason takes the place of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.objects import KubeObject, Namespace, Node

from ..installed.gathering import Hidden, Seen, seen
from ..installed.programs import PROGRAMS, Program
from . import releases
from .releases import Release

RELEASE = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
"""Annotations that Helm gives to every object of a release."""
RULES = "castai-evictor-config"
"""The ConfigMap with the evictor's rules; the closed chart and ours have the same."""
DEFINITIONS = ("nodereservations.moorage.dev", "slotreservations.moorage.dev")
MONITORING = "monitoring.coreos.com"
UMBRELLA = "moorage"
_CONFIG_MAPS: Resource[KubeObject] = Resource("v1", "configmaps", "ConfigMap", KubeObject)
_CRON_JOBS: Resource[KubeObject] = Resource("batch/v1", "cronjobs", "CronJob", KubeObject)
_DEFINITIONS: Resource[KubeObject] = Resource(
    "apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", KubeObject, namespaced=False
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was read.

    Attributes:
        server: address of the API server.
        namespace: where Moorage is to be installed.
        version: of Kubernetes, as 1.36.0.
        groups: of the API.
        monitors: what ``monitoring.coreos.com/v1`` serves, by plural; empty without the Prometheus operator.
        nodes: all of them.
        space: the namespace; None when there is none.
        programs: Deployments of all namespaces, or only of this one.
        everywhere: whether they are of all namespaces.
        crons: the CronJobs of descheduler, one of its two forms.
        autoscaled: whether cluster-autoscaler writes its status; a managed one has no Deployment.
        rules: the ConfigMap ``RULES``.
        definitions: those of Moorage, by name.
        releases: of Helm in the namespace, by name.
    """

    server: str
    namespace: str
    version: str
    groups: frozenset[str]
    monitors: frozenset[str]
    nodes: Seen[tuple[Node, ...]]
    space: Seen[Namespace]
    programs: Seen[tuple[Program, ...]]
    everywhere: bool
    crons: Seen[tuple[KubeObject, ...]]
    autoscaled: Seen[bool]
    rules: Seen[KubeObject]
    definitions: Mapping[str, Seen[KubeObject]]
    releases: Mapping[str, Release] | Hidden

    @property
    def unseen(self) -> Iterator[str]:
        """What could not be read, each with the reason."""
        for name, value in (
            ("nodes", self.nodes),
            (f"namespace {self.namespace}", self.space),
            ("Deployments", self.programs),
            ("CronJobs", self.crons),
            ("the status of cluster-autoscaler", self.autoscaled),
            (f"ConfigMap {RULES}", self.rules),
            *((f"definition {name}", found) for name, found in self.definitions.items()),
            (f"Helm's releases in namespace {self.namespace}", self.releases),
        ):
            if isinstance(value, Hidden):
                yield f"{name}: {value.reason}"
        if not self.everywhere and not isinstance(self.programs, Hidden):
            yield f"Deployments outside namespace {self.namespace}: autoscalers and another installation could be there"


async def read(client: Client, namespace: str) -> Surroundings:
    """Read everything.

    Args:
        client: of somebody who may read.
        namespace: where Moorage is to be installed.

    Raises:
        KubeError: the API server does not answer, or does not know who asks.
    """
    version, groups = await asyncio.gather(_json(client, "/version"), _groups(client))
    everywhere = await seen(client.list(PROGRAMS))
    nodes, space, programs = await asyncio.gather(
        seen(client.list(resources.NODES)),
        seen(client.get(resources.NAMESPACES, namespace)),
        _programs(client, namespace, everywhere),
    )
    crons, autoscaled, rules, monitors = await asyncio.gather(
        seen(client.list(_CRON_JOBS, labels="app.kubernetes.io/name=descheduler")),
        seen(_exists(client, "kube-system", "cluster-autoscaler-status")),
        seen(client.get(_CONFIG_MAPS, RULES, namespace)),
        _monitors(client, groups),
    )
    definitions = {name: await seen(client.get(_DEFINITIONS, name)) for name in DEFINITIONS}
    return Surroundings(
        server=client.transport.access.server,
        namespace=namespace,
        version=str(version.get("gitVersion") or "").removeprefix("v"),
        groups=groups,
        monitors=monitors,
        nodes=nodes,
        space=space,
        programs=programs,
        everywhere=not isinstance(everywhere, Hidden),
        crons=crons,
        autoscaled=autoscaled,
        rules=rules,
        definitions=definitions,
        releases=await releases.read(client, namespace, _names(namespace, programs)),
    )


async def _json(client: Client, path: str) -> Mapping[str, Any]:
    found = msgspec.json.decode(await client.transport.request("GET", path))
    return found if isinstance(found, Mapping) else {}


async def _groups(client: Client) -> frozenset[str]:
    found = await _json(client, "/apis")
    return frozenset(str(each.get("name")) for each in found.get("groups") or ())


async def _monitors(client: Client, groups: frozenset[str]) -> frozenset[str]:
    if MONITORING not in groups:
        return frozenset()
    found = await seen(_json(client, f"/apis/{MONITORING}/v1"))
    listed = found.get("resources") if isinstance(found, Mapping) else None
    return frozenset(str(each.get("name")) for each in listed or ())


async def _programs(client: Client, namespace: str, everywhere: Seen[tuple[Program, ...]]) -> Seen[tuple[Program, ...]]:
    """The Deployments of all namespaces; of one where only these may be read."""
    return await seen(client.list(PROGRAMS, namespace)) if isinstance(everywhere, Hidden) else everywhere


async def _exists(client: Client, namespace: str, name: str) -> bool:
    await client.get(_CONFIG_MAPS, name, namespace)
    return True


def _names(namespace: str, programs: Seen[tuple[Program, ...]]) -> Iterator[str]:
    """Names of releases whose content matters."""
    yield UMBRELLA
    for each in programs if isinstance(programs, tuple) else ():
        if each.metadata.namespace == namespace and (name := each.metadata.annotations.get(RELEASE)):
            yield name
