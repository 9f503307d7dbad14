"""Servers below any protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.unit.protocol.support import HANG, LOOPBACK


@contextmanager
def tcp_server(answer: bytes | None) -> Iterator[int]:
    """Accepts in a thread: asyncio's own server loses a connection that comes while it is being closed."""
    with socket.create_server((LOOPBACK, 0)) as listener, ExitStack() as visits:

        def serve() -> None:
            while True:
                try:
                    visit, _ = listener.accept()
                except OSError:  # shut down
                    return
                visits.enter_context(visit)
                if answer is not None:
                    with suppress(OSError), visit:
                        visit.settimeout(HANG)
                        visit.recv(1)
                        visit.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(HANG)
            assert not thread.is_alive(), "a visit does not end"
