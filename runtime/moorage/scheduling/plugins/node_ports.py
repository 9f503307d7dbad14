"""Host ports (``plugins/nodeports``).

Follows ``HostPortInfo`` of ``k8s.io/kube-scheduler/framework/types.go``: an empty address means all addresses, and all
addresses conflict with any address. Each protocol and port in use has a small array of counts.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from moorage.objects.pod import PodSpec
from moorage.scheduling.nodes import Bools, Ints, NodeTable
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import Volumes

from .plugin import Plugin

Port = tuple[str, int, str]
"""Protocol, number, address."""

_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - the API's own word, nothing listens here


def host_ports(spec: PodSpec) -> tuple[Port, ...]:
    """Return the host ports that a pod holds for its whole life: those of sidecars and containers."""
    sidecars = (container for container in spec.init_containers if container.restart_policy == "Always")
    return tuple(
        (port.protocol or "TCP", port.host_port, port.host_ip or _ALL_ADDRESSES)
        for container in (*sidecars, *spec.containers)
        for port in container.ports
        if port.host_port > 0
    )


class _PodClass(Protocol):
    @property
    def ports(self) -> tuple[Port, ...]: ...


class NodePorts(Plugin[_PodClass]):
    """Two pods on one node cannot use the same host port."""

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        super().__init__(nodes, volumes)
        self._capacity = nodes.capacity
        self._total: dict[tuple[str, int], Ints] = {}
        self._exact: dict[Port, Ints] = {}

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        more = np.zeros(capacity - self._capacity, dtype=np.int32)
        self._capacity = capacity
        self._total = {port: np.concatenate([counts, more]) for port, counts in self._total.items()}
        self._exact = {port: np.concatenate([counts, more]) for port, counts in self._exact.items()}

    def count(self, pod_class: _PodClass, slot: int, sign: int) -> None:
        """Count the ports of a pod."""
        for port in pod_class.ports:
            self._total.setdefault(port[:2], np.zeros(self._capacity, dtype=np.int32))[slot] += sign
            self._exact.setdefault(port, np.zeros(self._capacity, dtype=np.int32))[slot] += sign
            if sign < 0 and not self._total[port[:2]].any():
                del self._total[port[:2]]
            if sign < 0 and not self._exact[port].any():
                del self._exact[port]

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without host ports."""
        return not pod_class.ports

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes where a port is in use."""
        for port in pod_class.ports:
            for counts in self._conflicting(port):
                mask &= counts == 0

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the ports in use."""
        return [
            Finding(Reason.HOST_PORT, "spec.containers[].ports[].hostPort", f"{address}:{number}/{protocol}")
            for protocol, number, address in pod_class.ports
            if any(counts[slot] for counts in self._conflicting((protocol, number, address)))
        ]

    def _conflicting(self, port: Port) -> list[Ints]:
        protocol, number, address = port
        if address == _ALL_ADDRESSES:
            counts = self._total.get((protocol, number))
            return [] if counts is None else [counts]
        keys = ((protocol, number, _ALL_ADDRESSES), port)
        return [self._exact[key] for key in keys if key in self._exact]
