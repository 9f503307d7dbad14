"""Client of a running fitoracle: JSON lines in and out, in the same order."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tools.toolchain import tool_path


class OracleError(Exception):
    """The oracle has exited, or its answer is not a reply. Its stderr says more."""


def program() -> Path:
    """The oracle's path. This does not build it.

    Returns:
        Path of the executable: `MOORAGE_FITORACLE` when set, else the one of the toolchain.

    Raises:
        ToolError: it has not been built. The text has the command.
    """
    if path := os.environ.get("MOORAGE_FITORACLE"):
        return Path(path)
    return tool_path("fitoracle")


class Oracle:
    """An oracle process. It must not be used from several threads at once."""

    def __init__(self, executable: Path, *arguments: str) -> None:
        """Start the process.

        Args:
            executable: the program.
            arguments: `bench` for packings, nothing for verdicts.

        Raises:
            OracleError: the program cannot be run.
        """
        try:
            self._process = subprocess.Popen([executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise OracleError(f"{executable} cannot be run: {error.strerror}") from error

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request.

        Args:
            request: see README.md.

        Returns:
            The reply, with `error` or `verdicts` (or the timings of a packing).

        Raises:
            OracleError: the process has exited.
        """
        return self.ask_many([request])[0]

    def ask_many(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Send many requests, which the oracle answers on all processors.

        Args:
            requests: see README.md.

        Returns:
            One reply per request, in their order.

        Raises:
            OracleError: the process has exited.
        """
        # A separate thread writes: with both pipes full each side would wait for the other.
        writer = threading.Thread(target=self._write, args=(requests,))
        writer.start()
        try:
            return [self._read() for _ in requests]
        finally:
            writer.join()

    def close(self) -> None:
        """End the process by closing its input."""
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # the process has exited
                self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, requests: Iterable[Mapping[str, Any]]) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the process has exited; the reader reports it
            for request in requests:
                self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise OracleError(f"fitoracle exited with status {self._process.wait()}; its stderr says why")
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise OracleError(f"fitoracle answered {line[:80]!r}, which is not a reply")
        return reply
