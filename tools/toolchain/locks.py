"""File locks that the kernel releases when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, say: Callable[[str], None], what: str) -> Iterator[None]:
    """Hold a lock file. If another process holds it, print a line and wait.

    Args:
        path: the lock file. It is created if needed and never removed (removing it would allow two holders).
        say: prints a line.
        what: what the holder does, for the line.

    Raises:
        OSError: the file cannot be created.
    """
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            say(f"another process ({handle.read().strip() or 'just started'}) is {what}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(f"pid {os.getpid()}\n")
        handle.flush()
        yield
