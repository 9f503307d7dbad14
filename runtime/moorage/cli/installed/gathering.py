"""Reads what is installed in a cluster. Where a right is missing, the reason takes the place of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from moorage.controller.leader import Leader, leader_of
from moorage.evictor.kinds import EVICTOR_CONFIGS, EvictorConfig
from moorage.files.rules import NAME as EVICTOR_CONFIG
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops.settings import EVICTOR_LEASE, PINNER_LEASE
from moorage.pinner.commands import overview
from moorage.pinner.commands.overview import Overview
from moorage.pinner.names import PLACEHOLDER_LABEL, WEBHOOK

from .programs import PART_OF, PROGRAMS, Program

T = TypeVar("T")
PINNER, EVICTOR, PLANNER = "pod-pinner", "evictor", "planner"
PATIENCE = 5.0
"""Seconds for a pod's metrics. The request goes through the API server to the pod."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Something that could not be read, and why."""

    reason: str


Seen: TypeAlias = T | Hidden | None
"""What was read; None when there is none."""
Metrics: TypeAlias = Mapping[str, float]
"""Values by name, each summed up over its labels."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read.

    Attributes:
        server: address of the API server.
        namespace: where Moorage is looked for.
        now: the API server's time.
        programs: the Deployments, by subcommand.
        leaders: holders of the Leases of pod pinner and evictor.
        leases: names of those Leases.
        promised: reservations and pods; None when reservations are not defined.
        placeholders: how many Nodes have no machine yet.
        webhooks: the pinner's webhooks in their configurations; None when there is no configuration.
        config: the EvictorConfig.
        metrics: what the leaders and a planner say of themselves, by subcommand.
    """

    server: str
    namespace: str
    now: datetime
    programs: Mapping[str, Program] | Hidden
    leaders: Mapping[str, Seen[Leader]]
    leases: Mapping[str, str]
    promised: Seen[Overview]
    placeholders: int | Hidden
    webhooks: Seen[int]
    config: Seen[EvictorConfig]
    metrics: Mapping[str, Seen[Metrics]]


async def gather(client: Client, namespace: str) -> Gathered:
    """Read everything.

    Args:
        client: of somebody who may read.
        namespace: where Moorage is installed.

    Raises:
        KubeError: the API server does not answer, or does not know who asks.
    """
    found = await seen(client.list(PROGRAMS, namespace, labels=PART_OF))
    programs = found if isinstance(found, Hidden) else {each.command: each for each in found or ()}
    leases = {command: _lease(programs, command, lease) for command, lease in _LEASES.items()}
    leaders = await asyncio.gather(*(_leader(client, namespace, name) for name in leases.values()))
    led = dict(zip(leases, leaders, strict=True))
    promised, placeholders, webhooks, config, metrics = await asyncio.gather(
        seen(overview.gather(client)),
        _placeholders(client),
        _webhooks(client, programs, namespace),
        seen(client.get(EVICTOR_CONFIGS, EVICTOR_CONFIG)),
        _metrics(client, namespace, programs, led),
    )
    return Gathered(
        server=client.transport.access.server,
        namespace=namespace,
        now=client.transport.clock.now(),
        programs=programs,
        leaders=led,
        leases=leases,
        promised=promised,
        placeholders=placeholders,
        webhooks=webhooks,
        config=config,
        metrics=metrics,
    )


_LEASES = {PINNER: PINNER_LEASE, EVICTOR: EVICTOR_LEASE}


def _lease(programs: Mapping[str, Program] | Hidden, command: str, usual: str) -> str:
    """The name of a program's Lease: as its Deployment says, or the usual one."""
    program = None if isinstance(programs, Hidden) else programs.get(command)
    return (program.setting("MOORAGE_LEASE_NAME") if program is not None else "") or usual


async def _leader(client: Client, namespace: str, name: str) -> Seen[Leader]:
    lease = await seen(client.get(resources.LEASES, name, namespace))
    return lease if lease is None or isinstance(lease, Hidden) else leader_of(lease, client.transport.clock.now())


async def _placeholders(client: Client) -> int | Hidden:
    """How many Nodes have our label, and no machine yet."""
    nodes = await seen(client.list(resources.NODES, labels=PLACEHOLDER_LABEL))
    return nodes if isinstance(nodes, Hidden) else sum(not node.has_kubelet for node in nodes or ())


async def _webhooks(client: Client, programs: Mapping[str, Program] | Hidden, namespace: str) -> Seen[int]:
    """How many configurations have the API server ask a pod pinner; None when there is no configuration for one."""
    found = await seen(client.list(resources.MUTATING_WEBHOOKS))
    if found is None or isinstance(found, Hidden):
        return found
    asking = sum(any(each.get("name") == WEBHOOK for each in configuration.webhooks) for configuration in found)
    program = None if isinstance(programs, Hidden) else programs.get(PINNER)
    named = program.setting("MOORAGE_WEBHOOK_CONFIGURATION") if program is not None else ""
    names = {named, f"castai-pod-pinner.{namespace}"}
    return asking if asking or any(each.metadata.name in names for each in found) else None


async def _metrics(
    client: Client,
    namespace: str,
    programs: Mapping[str, Program] | Hidden,
    leaders: Mapping[str, Seen[Leader]],
) -> dict[str, Seen[Metrics]]:
    if isinstance(programs, Hidden):
        return {}
    result: dict[str, Seen[Metrics]] = {}
    for command, program in programs.items():
        leader = leaders.get(command)
        pod = leader.pod if isinstance(leader, Leader) and leader.valid else await _a_pod(client, namespace, program)
        if pod and program.health_port:
            result[command] = await _pod_metrics(client, namespace, pod, program.health_port)
    return result


async def _a_pod(client: Client, namespace: str, program: Program) -> str:
    """The name of a pod that runs; empty when none is seen."""
    labels = ",".join(f"{key}={value}" for key, value in program.spec.selector.match_labels.items())
    pods = await seen(client.list(resources.PODS, namespace, labels=labels)) if labels else None
    found = pods if isinstance(pods, tuple) else ()
    return next((pod.metadata.name for pod in found if pod.status.phase == "Running"), "")


async def _pod_metrics(client: Client, namespace: str, pod: str, port: int) -> Seen[Metrics]:
    """What a pod says of itself, through the API server's proxy."""
    path = resources.PODS.path(namespace, f"{pod}:{port}", "proxy") + "/metrics"
    try:
        text = await client.transport.request("GET", path, timeout=PATIENCE, accept="text/plain")
    except errors.Forbidden:
        return Hidden("may not get pods/proxy")
    except errors.KubeError:
        return Hidden(f"the API server does not reach pod {pod}")
    return parsed(text.decode(errors="replace"))


def parsed(text: str) -> dict[str, float]:
    """Metrics in the text format of Prometheus, each summed up over its labels; what is no number is left out."""
    result: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        try:
            result[name.partition("{")[0]] = result.get(name.partition("{")[0], 0.0) + float(value)
        except ValueError:
            continue
    return result


async def seen(question: Awaitable[T]) -> Seen[T]:
    """The object, None when there is none, or why it may not be read."""
    try:
        return await question
    except errors.NotFound:
        return None
    except errors.Forbidden as error:
        return Hidden(error.status.message or str(error))
