"""A connection to a cluster that can be cut and restored at the same address."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tools.localcluster import ClusterHandle


class Relay:
    """Passes connections on to a cluster's API server, as long as the context manager lives.

    Args:
        cluster: running.
        folder: gets a kubeconfig.

    Attributes:
        kubeconfig: of the cluster, through here.
    """

    def __init__(self, cluster: ClusterHandle, folder: Path) -> None:
        target = urlsplit(cluster.server)
        self._target = (str(target.hostname), int(target.port or 443))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = False
        self._listening = self._listen(0)
        self._port: int = self._listening.getsockname()[1]
        self.kubeconfig = folder / "kubeconfig-through-relay"
        self.kubeconfig.write_text(cluster.kubeconfig.read_text().replace(target.netloc, self.address))

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """End all connections, and take no more."""
        with self._lock:
            self._is_cut = True
            for each in (self._listening, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def mend(self) -> None:
        """Pass connections on again."""
        with self._lock:
            self._is_cut = False
            self._listening = self._listen(self._port)

    def _listen(self, port: int) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                near, _ = listening.accept()
                with self._lock:
                    if self._is_cut:  # a moment ago
                        near.close()
                        return
                    far = socket.create_connection(self._target)
                    self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
