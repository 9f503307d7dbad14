"""Free loopback ports for servers."""

from __future__ import annotations

import random
import socket

# Below the kernel's range for outgoing connections and below the NodePort range: a client that retries
# a port of that first range while its server restarts can connect to itself and so keep the server out.
_FIRST, _LAST = 15000, 29999
_ATTEMPTS = 200


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Picks `count` different TCP ports that nothing listens on now.

    Another process may take one before the caller does: the caller has to cope with "address already in use".

    Raises:
        OSError: no free port was found.
    """
    found: list[int] = []
    for _ in range(_ATTEMPTS):
        port = random.randint(_FIRST, _LAST)
        if port not in found and _is_free(port, address):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free TCP ports among {_FIRST}-{_LAST} on {address}")


def _is_free(port: int, address: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # As Go does, so that connections of an earlier server in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
