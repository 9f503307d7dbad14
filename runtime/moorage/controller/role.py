"""Labels our own pod while this replica is the leader, so that a Service can select the leader."""

from __future__ import annotations

import logging

from moorage.kube import errors, resources
from moorage.kube.client import Client

logger = logging.getLogger(__name__)


class Role:
    """The label of our own pod.

    Args:
        client: the API server.
        namespace: the namespace of our pod.
        pod_name: the name of our pod; empty when we run outside a pod.
        key: the key of the label.
        value: the value of the label while we are the leader.
    """

    def __init__(self, client: Client, namespace: str, pod_name: str, key: str, value: str) -> None:
        self._client, self._namespace, self._pod_name = client, namespace, pod_name
        self._key, self._value = key, value

    async def show(self, *, leads: bool) -> None:
        """Set or remove the label. Does nothing outside a pod.

        Raises:
            KubeError: the label could not be written.
        """
        try:
            pod = await self._client.get(resources.PODS, self._pod_name, self._namespace)
        except errors.NotFound:
            logger.debug("our own pod was not found, so its role is not labelled", extra={"pod": self._pod_name})
            return
        wanted = self._value if leads else None
        if pod.metadata.labels.get(self._key) == wanted:
            return
        await self._client.patch(
            resources.PODS,
            self._pod_name,
            self._namespace,
            changes={"metadata": {"labels": {self._key: wanted}}},
            uid=pod.metadata.uid,
        )
        logger.info("our pod is labelled with its role", extra={"role": wanted or ""})
