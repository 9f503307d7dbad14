"""The label by which a Service finds the leader among the replicas: each sets it on its own pod, and takes it off."""

from __future__ import annotations

import logging

from moorage.kube import errors, resources
from moorage.kube.client import Client

logger = logging.getLogger(__name__)


class Role:
    """Our own pod's label.

    Args:
        client: the API server.
        namespace: of our pod.
        pod_name: our pod's.
        key: of the label.
        value: it has while we lead.
    """

    def __init__(self, client: Client, namespace: str, pod_name: str, key: str, value: str) -> None:
        self._client, self._namespace, self._pod_name = client, namespace, pod_name
        self._key, self._value = key, value

    async def show(self, *, leads: bool) -> None:
        """Say whether we lead; a process that runs in no pod says nothing.

        Raises:
            KubeError: it cannot be said.
        """
        try:
            pod = await self._client.get(resources.PODS, self._pod_name, self._namespace)
        except errors.NotFound:
            logger.debug("there is no pod of ours to be labelled", extra={"pod": self._pod_name})
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
