"""File locks that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, say: Callable[[str], None], what: str) -> Iterator[None]:
    """Hold a lock file; another holder is waited for, after one line that says so.

    Args:
        path: the lock file, created when missing and never removed (removing it would let two holders in).
        say: prints a line.
        what: what the holder is doing, for the line.

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
