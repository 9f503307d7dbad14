"""How it stands with the nodes of each cluster, as its pinner says; and whether a pinner that leads is there at all.

Only a leader connects, and it says everything again after it has connected: what an earlier connection has said is
forgotten then, so that nobody acts on what was true before the leader changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from moorage.protocol import NodeReport, NodeReports, Webhook

Listener = Callable[[], None]


class Reports:
    """The newest report of each node, by cluster."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, NodeReport]] = {}
        self._webhooks: dict[str, Webhook] = {}
        self._present: Counter[str] = Counter()
        self._listeners: list[Listener] = []

    def of(self, cluster: str) -> Mapping[str, NodeReport]:
        """The reports of a cluster, by node."""
        return self._known.get(cluster, {})

    def is_led(self, cluster: str) -> bool:
        """Whether a pinner of the cluster that leads is connected."""
        return self._present[cluster] > 0

    def webhook(self, cluster: str) -> Webhook:
        """Whether pods of a cluster are pinned while they are created."""
        return self._webhooks.get(cluster, Webhook.UNSPECIFIED)

    def take(self, cluster: str, said: NodeReports) -> None:
        """Take note of reports.

        Args:
            cluster: whose pinner has sent them.
            said: each report replaces what was known of its node.
        """
        self._webhooks[cluster] = said.webhook
        self._known.setdefault(cluster, {}).update({report.node: report for report in said.reports})
        self._changed()

    @contextmanager
    def connected(self, cluster: str) -> Iterator[None]:
        """A block in which a pinner of the cluster is connected; it begins with nothing known."""
        self._present[cluster] += 1
        for known in (self._known, self._webhooks):
            known.pop(cluster, None)
        self._changed()
        try:
            yield
        finally:
            self._present[cluster] -= 1
            self._changed()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be called after every change; returns what ends that. Listeners are quick and do not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()
