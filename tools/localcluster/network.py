"""The network of real nodes: a switch in a network namespace of its own, connected to this machine.

    this machine ──veth── switch (bridge, cluster DNS) ──veth── real node 1 ── pods
      API server                                       ──veth── real node 2 ── pods

This machine neither forwards nor filters anything, and the nodes cannot reach anything outside. The interface and
routes on this machine disappear with the switch, also after kill -9.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.localcluster import host
from tools.localcluster.errors import ClusterError

MAX_NODES = 15
_BRIDGE = "switch"
_FIRST_NODE = 10
# The second range is reserved for benchmarks of networks, so hardly any machine uses it.
_RANGES = ("10.192.0.0/10", "198.18.0.0/15")
_CLUSTER_PREFIX = 20
_POD_PREFIX = 24


@dataclass(frozen=True)
class Network:
    """Addresses of one cluster: the first /24 is for nodes, node number n (from 1) has the n-th /24 after it for pods.

    Attributes:
        subnet: the whole range.
        service_cidr: range of Service addresses, for which nodes need a route.
        interface: this machine's end of the veth pair.
    """

    subnet: ipaddress.IPv4Network
    service_cidr: str
    interface: str

    @property
    def host(self) -> str:
        """Address of this machine, on which the API server listens."""
        return str(self.subnet[1])

    @property
    def dns(self) -> str:
        """Address of the switch, on which the cluster's DNS server listens."""
        return str(self.subnet[2])

    def as_state(self) -> dict[str, str]:
        """As plain values, for other processes."""
        return {"subnet": str(self.subnet), "service_cidr": self.service_cidr, "interface": self.interface}

    @classmethod
    def from_state(cls, state: Mapping[str, str]) -> Network:
        """From the values of `as_state`."""
        return cls(ipaddress.IPv4Network(state["subnet"]), state["service_cidr"], state["interface"])

    def node(self, number: int) -> str:
        """Address of a node."""
        return str(self.subnet[_FIRST_NODE + number])

    def pods(self, number: int) -> str:
        """Range of a node's pods."""
        return str(list(self.subnet.subnets(new_prefix=_POD_PREFIX))[number])

    def connect_host(self, switch: int) -> None:
        """Connects this machine to the switch, whose process has the pid `switch`."""
        self.disconnect_host()
        _ip(
            [
                f"link add {self.interface} type veth peer name host netns {switch}",
                f"addr add {self.host}/{_POD_PREFIX} dev {self.interface}",
                f"link set {self.interface} up",
            ]
        )
        _ip(
            [
                "link set lo up",
                f"link add {_BRIDGE} type bridge",
                f"link set host master {_BRIDGE}",
                "link set host up",
                f"link set {_BRIDGE} up",
                f"addr add {self.dns}/{_POD_PREFIX} dev {_BRIDGE}",
            ],
            switch,
        )

    def disconnect_host(self) -> None:
        """Removes the interface: when a switch has ended, the kernel needs a moment to do so."""
        if os.path.exists(f"/sys/class/net/{self.interface}"):
            command = [host.program("ip"), "link", "delete", self.interface]
            subprocess.run(command, capture_output=True, check=False)  # the kernel may be removing it

    def connect_node(self, number: int, node: int, switch: int, others: Iterable[tuple[int, int]]) -> None:
        """Connects a node to the switch, and adds routes to its pods on all other nodes.

        Args:
            number: number of the node.
            node: pid of its machine.
            switch: pid of the switch.
            others: number and pid of each other node's machine.
        """
        others = list(others)
        _ip(
            [
                f"link add node{number} type veth peer name eth0 address {self._hardware(number)} netns {node}",
                f"link set node{number} master {_BRIDGE}",
                f"link set node{number} up",
            ],
            switch,
        )
        _ip(
            [
                "link set lo up",
                f"addr add {self.node(number)}/{_POD_PREFIX} dev eth0",
                "link set eth0 up",
                # kube-proxy rewrites Service addresses after the kernel has searched a route for them.
                f"route add {self.service_cidr} via {self.host}",
                *(self._route(other) for other, _ in others),
            ],
            node,
        )
        for pid in (None, switch, *(pid for _, pid in others)):
            _ip([self._route(number)], pid)

    def _hardware(self, number: int) -> str:
        # The same after each start: neighbours cache the address for half a minute.
        return "02:00:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(self.node(number)).packed)

    def _route(self, number: int) -> str:
        return f"route replace {self.pods(number)} via {self.node(number)}"


def switch_command() -> list[str]:
    """Command that keeps the switch's network namespace."""
    return [host.program("unshare"), "--net", "--", host.program("sleep"), "infinity"]


def choose(interface: str, service_cidr: str) -> Network:
    """Chooses a range that does not overlap any route of this machine.

    `host.exclusive` separates two clusters that choose at the same time.

    Raises:
        ClusterError: every range is in use.
    """
    taken = _routes()
    for wide in map(ipaddress.IPv4Network, _RANGES):
        free = [net for net in wide.subnets(new_prefix=_CLUSTER_PREFIX) if not any(net.overlaps(t) for t in taken)]
        if free:
            return Network(random.choice(free), service_cidr, interface)
    raise ClusterError(
        f"no free address range for real nodes on this machine: its routes cover all of {' and '.join(_RANGES)}"
    )


def wait_own_network(pid: int, timeout: float = 10) -> None:
    """Waits until a new process has left this network namespace.

    Raises:
        ClusterError: it exited, or `timeout` seconds have passed.
    """
    ours, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + timeout
    while True:
        try:
            if os.readlink(f"/proc/{pid}/ns/net") != ours:
                return
        except OSError as error:
            raise ClusterError(f"a network namespace of its own was refused: {error}; this needs root") from error
        if time.monotonic() > deadline:
            raise ClusterError(f"process {pid} got no network namespace of its own in {timeout:.0f} s")
        time.sleep(0.01)


def _routes() -> list[ipaddress.IPv4Network]:
    command = [host.program("ip"), "-json", "-4", "route", "show", "table", "all"]
    answer = subprocess.run(command, capture_output=True, check=True)
    destinations = {route["dst"] for route in json.loads(answer.stdout or b"[]")} - {"default"}
    return [ipaddress.IPv4Network(destination, strict=False) for destination in destinations]


def _ip(commands: Sequence[str], namespace_of: int | None = None) -> None:
    """Runs `ip` commands, in the network namespace of a process if one is given."""
    prefix = [] if namespace_of is None else [host.program("nsenter"), f"--net=/proc/{namespace_of}/ns/net", "--"]
    command = [*prefix, host.program("ip"), "-batch", "-"]
    answer = subprocess.run(command, input="\n".join(commands), capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        where = "this machine" if namespace_of is None else f"the network of process {namespace_of}"
        raise ClusterError(f"the network of real nodes was not set up: in {where}: {answer.stderr.strip()}")
