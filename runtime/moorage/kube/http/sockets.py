"""Socket options with which the kernel finds a peer that is gone, whether or not the connection carries data.

A peer that vanishes without a reset (a machine that is off, a NAT table that has forgotten the connection) sends
nothing, just as a watch of a quiet kind does. Only the kernel can tell both apart: an idle connection is probed, and
bytes that are not acknowledged have a time limit. Both end the connection with ETIMEDOUT.
"""

from __future__ import annotations

import socket
from contextlib import suppress

PROBE_AFTER = 10
"""Seconds without a packet after which the peer is probed."""
PROBE_EVERY = 5
"""Seconds between two probes."""
GONE_AFTER = 20
"""Seconds without an acknowledgement after which the peer counts as gone. Below the time limit of a request."""

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("TCP_KEEPIDLE", PROBE_AFTER),
    ("TCP_KEEPALIVE", PROBE_AFTER),  # macOS' name for TCP_KEEPIDLE
    ("TCP_KEEPINTVL", PROBE_EVERY),
    ("TCP_KEEPCNT", (GONE_AFTER - PROBE_AFTER) // PROBE_EVERY),
    ("TCP_USER_TIMEOUT", GONE_AFTER * 1000),  # RFC 5482; Linux, see tcp(7)
)


def find_dead_peers(sock: socket.socket) -> None:
    """Let the kernel end the connection when its peer is gone. An option that the system does not have is left out.

    Args:
        sock: a TCP socket. TLS and tunnels through a proxy lie above it, so the peer is the proxy where there is one.
    """
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
