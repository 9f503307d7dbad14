"""A demo's events as a file of JSON lines: a heading, then one event a line."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from .demo import Demo
from .events import Event

VERSION = 1
_encode = msgspec.json.Encoder().encode


class RecordingError(Exception):
    """A recording cannot be read; the message says why."""


class Heading(msgspec.Struct, frozen=True):
    """The first line.

    Attributes:
        recording: version of the format.
        demo: of which demo it is.
        machine: what it was recorded on, for people.
        kubernetes: version of the API server.
    """

    recording: int
    machine: str = ""
    kubernetes: str = ""
    demo: str = "pod-pinner"


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


def read(path: Path, *demos: Demo[Any]) -> tuple[Heading, Demo[Any], list[Event]]:
    """Read a recording.

    Args:
        path: the file.
        demos: those of which it may be.

    Returns:
        Its heading, the demo that it is of, and its events.

    Raises:
        RecordingError: it is missing, damaged, of another version, or of another demo.
    """
    try:
        first, *lines = path.read_bytes().splitlines()
        heading = msgspec.json.decode(first, type=Heading)
        if heading.recording != VERSION:
            raise RecordingError(f"recording {path} has format {heading.recording}, this program reads {VERSION}")
        demo = next((each for each in demos if each.name == heading.demo), None)
        if demo is None:
            raise RecordingError(f"recording {path} is of a demo {heading.demo!r} that this program does not show")
        decode = msgspec.json.Decoder(demo.events).decode
        return heading, demo, [decode(line) for line in lines]
    except OSError as error:
        raise RecordingError(f"recording {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, msgspec.MsgspecError) as error:
        again = " or ".join(each.record for each in demos)
        raise RecordingError(f"recording {path} is damaged: {error}. Make a new one: {again}") from error


def heading(demo: str, kubernetes: str) -> Heading:
    """The first line of a recording of a demo made here and now; the machine is named as figures name it."""
    return Heading(VERSION, f"{len(os.sched_getaffinity(0))} cores", kubernetes, demo)
