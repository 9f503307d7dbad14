"""What an installation needs of its cluster: the definition, a leader, and admission that takes pods.

Nothing is changed: the one write is a dry run, which goes through admission as a real pod would.
"""

from __future__ import annotations

from typing import Any

from moorage.controller.leader import leader_of
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.reservations import GROUP_VERSION

from .outcome import Failed


async def reservations_are_served(client: Client) -> str:
    """NodeReservations can be stored; returns what was found.

    Raises:
        Failed: they cannot.
    """
    try:
        await client.transport.request("GET", resources.NODE_RESERVATIONS.path(), query={"limit": "1"})
    except errors.NotFound:
        raise Failed(
            f"NodeReservation ({GROUP_VERSION}) is not defined in this cluster. Install the chart with "
            "crds.enabled=true, or apply the definition it ships"
        ) from None
    return f"NodeReservation ({GROUP_VERSION}) is served"


async def a_replica_leads(client: Client, namespace: str, lease_name: str) -> str:
    """One replica holds the Lease, and renews it; returns what was found.

    Raises:
        Failed: none does.
    """
    where = f"Lease {namespace}/{lease_name}"
    try:
        lease = await client.get(resources.LEASES, lease_name, namespace)
    except errors.NotFound:
        raise Failed(
            f"{where} does not exist: no pod pinner has run here yet. Look at its pods and their logs"
        ) from None
    leader = leader_of(lease, client.transport.clock.now())
    if not leader.holder:
        raise Failed(f"{where} is held by nobody. Is a pod pinner running (replicas above 0)?")
    if not leader.valid:
        raise Failed(
            f"{where} was renewed {leader.age.total_seconds():.0f} s ago: {leader.holder} is gone or stuck. Look at "
            "the pods and their logs"
        )
    return f"{leader.holder} holds {where}"


async def a_pod_is_admitted(client: Client, namespace: str, image: str) -> str:
    """A pod passes admission; returns what was found.

    Raises:
        ApiError: it does not.
    """
    await client.create(resources.PODS, _pod(image), namespace, dry_run=True)
    return f"a pod was accepted in namespace {namespace}, and not created"


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
