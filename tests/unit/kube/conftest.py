"""The access layer is tested on the event loop that the services run on.

uvloop differs from asyncio's own in when it closes files, and in what it does with a connection that is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What makes the event loops of these tests, by name."""
    return {"uvloop": uvloop.new_event_loop}
