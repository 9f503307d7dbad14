"""The options of a cluster."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of a control plane. The defaults are for tests and demos.

    Attributes:
        bind_address: address the API server listens on; "0.0.0.0" lets pods of real kubelets reach it.
        advertise_address: address published as endpoint of the Service `kubernetes`. A loopback address
            cannot be an endpoint, so the default publishes none.
        extra_sans: additional names or addresses in the API server's certificate.
        service_cidr: range of Service addresses; its first address is in the certificate too.
        flow_control: API Priority and Fairness and in-flight limits, on as in real clusters. Benchmarks
            that measure something other than the API server's queues turn it off.
        scheduler: whether to run kube-scheduler.
        real: how many real nodes to start, named real-1, real-2, …: kubelets whose containers really run. Then the
            API server listens on an address of the nodes' network instead of `bind_address`. Pods reach it at its
            Service address and find names in the cluster's DNS. Needs root and the packages that `host.missing` checks.
        apiserver_flags: flags (without dashes) that override or add to those of kube-apiserver.
        controller_manager_flags: the same for kube-controller-manager.
        scheduler_flags: the same for kube-scheduler.
    """

    bind_address: str = "127.0.0.1"
    advertise_address: str | None = None
    extra_sans: tuple[str, ...] = ()
    service_cidr: str = "10.0.0.0/16"
    flow_control: bool = True
    scheduler: bool = True
    real: int = 0
    apiserver_flags: Mapping[str, str] = field(default_factory=dict)
    controller_manager_flags: Mapping[str, str] = field(default_factory=dict)
    scheduler_flags: Mapping[str, str] = field(default_factory=dict)

    @property
    def client_address(self) -> str:
        """Address for clients on this machine: loopback unless one other address is bound."""
        return "127.0.0.1" if ipaddress.ip_address(self.bind_address).is_unspecified else self.bind_address

    @property
    def server_sans(self) -> tuple[str, ...]:
        """The names and addresses in the API server's certificate."""
        service_address = str(next(ipaddress.ip_network(self.service_cidr).hosts()))
        names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        names += [service_address, self.client_address, *self.extra_sans]
        if self.advertise_address is not None:
            names.append(self.advertise_address)
        return tuple(dict.fromkeys(names))
