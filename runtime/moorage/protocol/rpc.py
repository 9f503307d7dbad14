"""The protocol over gRPC: method, limits and keepalive, the same on both sides.

Messages are passed as bytes, so that an invalid or too large one is refused by name and does not end the call.
"""

from __future__ import annotations

import logging
import os

# gRPC logs lines and stacks of its own, even for streams that just end. Every failure reaches us as a status anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Which server needs no proxy is decided by our own reading (moorage.ops.proxies). gRPC would read no_proxy besides.
os.environ.update(no_grpc_proxy="")
logging.getLogger("grpc").setLevel(logging.CRITICAL)

import grpc  # noqa: E402 - what is above must be set before

SERVICE = "moorage.pinning.v1.PinningService"
METHOD = "Stream"
PATH = f"/{SERVICE}/{METHOD}"

API_KEY = "authorization"
"""Metadata key; the value is ``Bearer <key>``."""
API_KEY_PLAIN = "x-api-key"
"""Metadata key that a server accepts too; the value is the key."""

HEARTBEAT = 10.0
"""Seconds between two heartbeats of a server. The protocol allows 15."""

MAX_RESPONSE = 32 << 20
"""Bytes at which a client ends the call. Instructions above ``codec.MAX_INSTRUCTION`` are refused by name before."""
MAX_REQUEST = 4 << 20

_PING_SECONDS = 30
_PING_TIMEOUT_SECONDS = 10
_LEAST_PING_SECONDS = 10  # well below the clients' interval: a server that is pinged more often sends GOAWAY

Options = list[tuple[str, int | str]]


def client_options(*, proxy: str) -> Options:
    """Channel options: a dead connection is noticed within 40 s, and reconnecting is done by our own code.

    Args:
        proxy: URL of an HTTP proxy; empty for none. Variables of the environment do not count.
    """
    through: Options = [("grpc.http_proxy", proxy)] if proxy else []
    return [
        *through,
        ("grpc.keepalive_time_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MAX_RESPONSE),
        ("grpc.max_send_message_length", MAX_REQUEST),
        ("grpc.enable_retries", 0),
        # Each attempt has its own subchannel: a shared one would add its back-off to ours, and keep old credentials.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 1 if proxy else 0),
    ]


def server_options() -> Options:
    """Server options that match the clients' pings."""
    return [
        ("grpc.keepalive_time_ms", _PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_SECONDS * 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", MAX_REQUEST),
        ("grpc.max_send_message_length", MAX_RESPONSE),
        ("grpc.so_reuseport", 0),  # a second planner on the same port must be an error
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
