"""Free loopback ports for servers."""

from __future__ import annotations

import random
import socket
from collections import deque

# Below the kernel's range for outgoing connections, and below the NodePort range. A client that retries
# a port of the first range while its server restarts can connect to itself, and then the server cannot bind it.
_FIRST, _LAST = 15000, 29999
_EACH = 100


class PortBlock:
    """Ports that only this process uses.

    A server binds its port seconds after it was chosen, and meanwhile the port looks free to all other processes. So
    each process takes ports from a block of its own. It binds the block's first port until it ends, also by SIGKILL.
    """

    def __init__(self) -> None:
        self._ports: deque[int] = deque()

    def free(self, count: int, address: str) -> list[int]:
        """Chooses different ports that nothing listens on. Those that were used longest ago come first.

        Raises:
            OSError: there are not enough free ports in all remaining blocks.
        """
        while True:
            found: list[int] = []
            for _ in range(len(self._ports)):
                self._ports.rotate(-1)
                if _is_free(self._ports[-1], address):
                    found.append(self._ports[-1])
                if len(found) == count:
                    return found
            self._take()

    def _take(self) -> None:
        firsts = list(range(_FIRST, _LAST, _EACH))
        random.shuffle(firsts)  # two processes that start together seldom try the same block
        for first in firsts:
            holder = socket.socket(socket.AF_INET)
            try:
                holder.bind(("127.0.0.1", first))
            except OSError:
                holder.close()
                continue
            holder.detach()  # bound until this process ends
            self._ports.extend(range(first + 1, first + _EACH))
            return
        raise OSError(f"all blocks of TCP ports among {_FIRST}-{_LAST} are held: end processes that use local clusters")


_block = PortBlock()


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Chooses `count` different TCP ports that nothing listens on now, and that no other process chooses.

    A program that chooses ports in another way may bind one first. The caller must handle "address already in use".

    Raises:
        OSError: no free port was found.
    """
    return _block.free(count, address)


def _is_free(port: int, address: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # As in Go, so that connections of an earlier server in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
