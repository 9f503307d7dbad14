"""Whether an installation can do its work, asked of the API server with the rights of whoever asks (``moorage check``).

Nothing is changed: the one write is a dry run, which goes through admission as a real pod would.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.clock import ClockNotSynchronised
from moorage.reservations import GROUP_VERSION, moment

PAUSE = 1.0
"""Seconds between tries of what has not passed yet: a fresh installation elects its leader within seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one check.

    Attributes:
        name: of the check.
        passed: whether all is well.
        detail: a sentence: what was found, or what is wrong and the way out.
    """

    name: str
    passed: bool
    detail: str


class NotPassed(Exception):
    """What is wrong, and the way out."""


async def reservations_are_served(client: Client) -> str:
    """NodeReservations can be stored; returns what was found.

    Raises:
        NotPassed: they cannot.
    """
    try:
        await client.transport.request("GET", resources.NODE_RESERVATIONS.path(), query={"limit": "1"})
    except errors.NotFound:
        raise NotPassed(
            f"NodeReservation ({GROUP_VERSION}) is not defined in this cluster. Install the chart with "
            "crds.enabled=true, or apply the definition it ships"
        ) from None
    return f"NodeReservation ({GROUP_VERSION}) is served"


async def a_replica_leads(client: Client, namespace: str, lease_name: str) -> str:
    """One replica holds the Lease, and renews it; returns what was found.

    Raises:
        NotPassed: none does.
    """
    where = f"Lease {namespace}/{lease_name}"
    try:
        lease = await client.get(resources.LEASES, lease_name, namespace)
    except errors.NotFound:
        raise NotPassed(
            f"{where} does not exist: no pod pinner has run here yet. Look at its pods and their logs"
        ) from None
    spec = lease.spec
    renewed = moment(spec.renew_time or "")
    if not spec.holder_identity or renewed is None:
        raise NotPassed(f"{where} is held by nobody. Is a pod pinner running (replicas above 0)?")
    age = client.transport.clock.now() - renewed
    if age > timedelta(seconds=spec.lease_duration_seconds or 0):
        raise NotPassed(
            f"{where} was renewed {age.total_seconds():.0f} s ago: {spec.holder_identity} is gone or stuck. Look at "
            "the pods and their logs"
        )
    return f"{spec.holder_identity} holds {where}"


async def a_pod_is_admitted(client: Client, namespace: str, image: str) -> str:
    """A pod passes admission; returns what was found.

    Raises:
        ApiError: it does not.
    """
    await client.create(resources.PODS, _pod(image), namespace, dry_run=True)
    return f"a pod was accepted in namespace {namespace}, and not created"


async def run(client: Client, *, namespace: str, lease_name: str, image: str, timeout: float) -> Sequence[Result]:
    """Run every check; what does not pass is tried again until the time is over.

    Args:
        client: of whoever asks.
        namespace: of the installation.
        lease_name: the Lease of its leader.
        image: of the pod that is tried; never pulled.
        timeout: seconds for all of them.
    """
    until = time.monotonic() + timeout
    checks: dict[str, Callable[[], Awaitable[str]]] = {
        "reservations": lambda: reservations_are_served(client),
        "leader": lambda: a_replica_leads(client, namespace, lease_name),
        "admission": lambda: a_pod_is_admitted(client, namespace, image),
    }
    return [await _patiently(name, check, until) for name, check in checks.items()]


async def _patiently(name: str, check: Callable[[], Awaitable[str]], until: float) -> Result:
    while True:
        try:
            return Result(name, True, await check())
        except (NotPassed, errors.KubeError, ClockNotSynchronised) as error:
            if time.monotonic() + PAUSE > until:
                return Result(name, False, str(error))
        await asyncio.sleep(PAUSE)


def _pod(image: str) -> dict[str, Any]:
    """A pod that Pod Security ``restricted`` takes, and OpenShift too: it names no user id."""
    return {
        "metadata": {"generateName": "moorage-check-"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "check",
                    "image": image,
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "16Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
