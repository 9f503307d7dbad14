"""How the protocol travels over gRPC: method, limits and keepalive, the same on both sides.

Messages cross as bytes, so that one that is too large or cannot be read is refused by name instead of ending the call.
"""

from __future__ import annotations

import logging
import os

# gRPC writes lines and stacks of its own, also for streams that just end; every failure reaches us as a status anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
logging.getLogger("grpc").setLevel(logging.CRITICAL)

import grpc  # noqa: E402 - what is above must be set before

SERVICE = "moorage.pinning.v1.PinningService"
METHOD = "Stream"
PATH = f"/{SERVICE}/{METHOD}"

API_KEY = "authorization"
"""Metadata key; the value is ``Bearer <key>``."""
API_KEY_PLAIN = "x-api-key"
"""Metadata key that a server takes as well; the value is the key."""

HEARTBEAT = 10.0
"""Seconds between two signs of life of a server; the protocol allows 15."""

MAX_RESPONSE = 32 << 20
"""Bytes at which a client ends the call; instructions above ``codec.MAX_INSTRUCTION`` are refused by name before."""
MAX_REQUEST = 4 << 20

_PING_SECONDS = 30
_PING_TIMEOUT_SECONDS = 10
_LEAST_PING_SECONDS = 10  # a server that is pinged more often says GOAWAY; well below the clients' interval

Options = list[tuple[str, int]]


def client_options(*, loopback: bool) -> Options:
    """Channel options: a dead connection is noticed within 40 s, and reconnecting is ours alone."""
    return [
        ("grpc.keepalive_time_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MAX_RESPONSE),
        ("grpc.max_send_message_length", MAX_REQUEST),
        ("grpc.enable_retries", 0),
        # Each attempt stands alone: a shared subchannel would add its own back-off to ours, and old credentials.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0 if loopback else 1),
    ]


def server_options() -> Options:
    """Server options that go with the clients' pings."""
    return [
        ("grpc.keepalive_time_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", MAX_REQUEST),
        ("grpc.max_send_message_length", MAX_RESPONSE),
        ("grpc.so_reuseport", 0),  # a second planner on the same port is an error, not a lottery
    ]


__all__ = [
    "API_KEY",
    "API_KEY_PLAIN",
    "HEARTBEAT",
    "MAX_REQUEST",
    "MAX_RESPONSE",
    "METHOD",
    "PATH",
    "SERVICE",
    "client_options",
    "grpc",
    "server_options",
]
