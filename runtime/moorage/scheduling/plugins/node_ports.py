"""Host ports in use, one small array per protocol and port.

Follows ``HostPortInfo`` of ``k8s.io/kube-scheduler/framework/types.go`` and ``plugins/nodeports``: an empty address
means all addresses, and all addresses conflict with any.
"""

from __future__ import annotations

import numpy as np

from moorage.objects.pod import PodSpec

from ..nodes import Bools, Ints
from ..reasons import Finding, Reason

Port = tuple[str, int, str]
"""Protocol, number, address."""

_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - the API's own word, nothing listens here


def host_ports(spec: PodSpec) -> tuple[Port, ...]:
    """The host ports a pod holds for its whole life: those of sidecars and containers."""
    sidecars = (container for container in spec.init_containers if container.restart_policy == "Always")
    return tuple(
        (port.protocol or "TCP", port.host_port, port.host_ip or _ALL_ADDRESSES)
        for container in (*sidecars, *spec.containers)
        for port in container.ports
        if port.host_port > 0
    )


class PortTable:
    """How many pods of each slot hold a port, in total and per address."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._total: dict[tuple[str, int], Ints] = {}
        self._exact: dict[Port, Ints] = {}

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        more = np.zeros(capacity - self._capacity, dtype=np.int32)
        self._capacity = capacity
        self._total = {port: np.concatenate([counts, more]) for port, counts in self._total.items()}
        self._exact = {port: np.concatenate([counts, more]) for port, counts in self._exact.items()}

    def use(self, slot: int, ports: tuple[Port, ...], sign: int) -> None:
        """Count a pod's ports in (+1) or out (-1)."""
        for port in ports:
            self._total.setdefault(port[:2], np.zeros(self._capacity, dtype=np.int32))[slot] += sign
            self._exact.setdefault(port, np.zeros(self._capacity, dtype=np.int32))[slot] += sign
            if sign < 0 and not self._total[port[:2]].any():
                del self._total[port[:2]]
            if sign < 0 and not self._exact[port].any():
                del self._exact[port]

    def restrict(self, mask: Bools, ports: tuple[Port, ...]) -> None:
        """Clear every slot of ``mask`` where one of the ports is taken."""
        for port in ports:
            for counts in self._against(port):
                mask &= counts == 0

    def findings(self, slot: int, ports: tuple[Port, ...]) -> list[Finding]:
        """Which ports are taken on a node."""
        return [
            Finding(Reason.HOST_PORT, "spec.containers[].ports[].hostPort", f"{address}:{number}/{protocol}")
            for protocol, number, address in ports
            if any(counts[slot] for counts in self._against((protocol, number, address)))
        ]

    def _against(self, port: Port) -> list[Ints]:
        protocol, number, address = port
        if address == _ALL_ADDRESSES:
            counts = self._total.get((protocol, number))
            return [] if counts is None else [counts]
        keys = ((protocol, number, _ALL_ADDRESSES), port)
        return [self._exact[key] for key in keys if key in self._exact]
