"""The state of each node, as the pinner reports it, and whether a leading pinner is connected.

Only a leader connects, and it reports all nodes after it has connected. Reports of an earlier connection are dropped
then, so that no decision uses the state from before a change of leader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from moorage.protocol import NodeReport, NodeReports, Webhook

Listener = Callable[[], None]


class Reports:
    """The last report of each node, by cluster."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, NodeReport]] = {}
        self._webhooks: dict[str, Webhook] = {}
        self._present: Counter[str] = Counter()
        self._listeners: list[Listener] = []

    def of(self, cluster: str) -> Mapping[str, NodeReport]:
        """The reports of a cluster, by node."""
        return self._known.get(cluster, {})

    def is_led(self, cluster: str) -> bool:
        """Whether a leading pinner of the cluster is connected."""
        return self._present[cluster] > 0

    def webhook(self, cluster: str) -> Webhook:
        """Whether the pinner's webhook assigns pods of this cluster to nodes."""
        return self._webhooks.get(cluster, Webhook.UNSPECIFIED)

    def update(self, cluster: str, reports: NodeReports) -> None:
        """Store reports.

        Args:
            cluster: the cluster of the pinner.
            reports: the reports. Each replaces the earlier one of its node.
        """
        self._webhooks[cluster] = reports.webhook
        self._known.setdefault(cluster, {}).update({report.node: report for report in reports.reports})
        self._changed()

    @contextmanager
    def connected(self, cluster: str) -> Iterator[None]:
        """A context during which a pinner of the cluster is connected. It starts without reports."""
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
        """Call a listener after every change. Returns a function that ends this.

        Listeners must be quick and must not raise.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()
