"""A hostile API server for tests of the access layer, and what they need to follow it."""

from . import protobuf
from .damage import damaged
from .following import Following, Recorder, Tokens, access, eventually, following, hostile, list_badly, transport
from .server import Exchange, Fault, HostileServer, Request, never, page, raw, refuse, reset, says
from .store import EXPIRED, Json, Store, line, status

__all__ = [
    "EXPIRED",
    "Exchange",
    "Fault",
    "Following",
    "HostileServer",
    "Json",
    "Recorder",
    "Request",
    "Store",
    "Tokens",
    "access",
    "damaged",
    "eventually",
    "following",
    "hostile",
    "line",
    "list_badly",
    "never",
    "page",
    "protobuf",
    "raw",
    "refuse",
    "reset",
    "says",
    "status",
    "transport",
]
