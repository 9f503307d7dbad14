"""A demo's events as a file of JSON lines: a heading, then one event a line."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from .events import Event

VERSION = 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class RecordingError(Exception):
    """A recording cannot be read; the message says why."""


class Heading(msgspec.Struct, frozen=True):
    """The first line.

    Attributes:
        recording: version of the format.
        machine: what it was recorded on, for people.
        kubernetes: version of the API server.
    """

    recording: int
    machine: str = ""
    kubernetes: str = ""


class Writer:
    """Writes events as they happen; the file is complete up to the last event at any moment.

    Args:
        path: the file, overwritten.
        heading: its first line.
    """

    def __init__(self, path: Path, heading: Heading) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(_encode(heading) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append one event."""
        self._file.write(_encode(event) + b"\n")


def read(path: Path) -> tuple[Heading, list[Event]]:
    """Read a recording.

    Raises:
        RecordingError: it is missing, damaged, or of another version.
    """
    try:
        first, *lines = path.read_bytes().splitlines()
        heading = msgspec.json.decode(first, type=Heading)
        if heading.recording != VERSION:
            raise RecordingError(f"recording {path} has format {heading.recording}, this program reads {VERSION}")
        return heading, [_decode(line) for line in lines]
    except OSError as error:
        raise RecordingError(f"recording {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise RecordingError(f"recording {path} is damaged: {error}. Make a new one: ./taskw demo:record") from error


def heading(kubernetes: str) -> Heading:
    """The first line of a recording made here and now; the machine is named as figures name it."""
    return Heading(VERSION, f"{len(os.sched_getaffinity(0))} cores", kubernetes)
