"""Reads a file that a command is given."""

from __future__ import annotations

import sys

from moorage.files.yamlfile import MAX_BYTES


class Unreadable(Exception):
    """A file cannot be read; the message says why."""


def read(name: str) -> bytes:
    """What is in a file, and one byte more than ``MAX_BYTES`` of one that is too large.

    Args:
        name: its path; ``-`` is standard input.

    Raises:
        Unreadable: it cannot be read.
    """
    if name == "-" and sys.stdin is None:
        raise Unreadable("cannot be read: standard input is closed")
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(name, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
