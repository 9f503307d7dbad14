"""Whether whoever stops us wants none of us: a Deployment that is scaled to 0 is no rolling upgrade."""

from __future__ import annotations

import logging

from moorage.kube import errors, resources
from moorage.kube.client import Client

logger = logging.getLogger(__name__)


async def to_zero(client: Client, namespace: str, deployment: str) -> bool:
    """Whether our own Deployment wants no replica.

    Args:
        client: the API server.
        namespace: of the Deployment.
        deployment: its name.

    Returns:
        False also where nobody knows: it is gone, or may not be read.
    """
    try:
        found = await client.get(resources.DEPLOYMENTS, deployment, namespace)
    except errors.KubeError as error:
        fields = {"deployment": f"{namespace}/{deployment}", "error": str(error)}
        logger.info("whether our Deployment is scaled to 0 is not known", extra=fields)
        return False
    return found.spec.replicas == 0
