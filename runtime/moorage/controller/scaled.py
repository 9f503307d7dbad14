"""Whether our Deployment is scaled to 0. A rolling upgrade is not."""

from __future__ import annotations

import logging

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops import compat

logger = logging.getLogger(__name__)

ANSWER = 2.0
"""Time limit in seconds. The process is stopping, and other replicas wait for the Lease."""


async def to_zero(client: Client, namespace: str, deployment: str) -> bool:
    """Whether our own Deployment has 0 desired replicas.

    Args:
        client: the API server.
        namespace: of the Deployment.
        deployment: its name.

    Returns:
        Returns False also when that is unknown: the Deployment is gone, may not be read, or the API server does not
        answer in time.
    """
    try:
        async with compat.timeout(ANSWER):
            scaled = await client.get(resources.DEPLOYMENTS, deployment, namespace)
    except (errors.KubeError, TimeoutError) as error:
        fields = {"deployment": f"{namespace}/{deployment}", "error": str(error) or "no answer in time"}
        logger.info("whether our Deployment is scaled to 0 is not known", extra=fields)
        return False
    return scaled.spec.replicas == 0
