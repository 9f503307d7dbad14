"""The version of the protocol that was declared: one file beside the .proto file, which ``buf`` can read, too."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.generate.protocol import PROTO, SOURCES, described

from .breaking import Break, additions, breaks

PACKAGE = str(Path(PROTO).parent).replace("/", ".")


class Refused(Exception):
    """The baseline stays as it is; the text says why."""


class Baseline:
    """What was declared, beside what the .proto file says now.

    Args:
        sources: the folder with all packages.
    """

    def __init__(self, sources: Path = SOURCES) -> None:
        self.proto = sources / PROTO
        self.path = self.proto.with_suffix(".binpb")
        self.log = self.proto.with_suffix(".breaks.md")
        self._sources = sources

    def compare(self) -> tuple[list[Break], list[str]]:
        """What is broken, and the names of what is new.

        Raises:
            RuntimeError: protoc refuses the .proto file.
            Refused: there is no baseline.
        """
        if not self.path.exists():
            raise Refused(f"{self.path} is missing: restore it, or declare one with ./taskw proto:freeze")
        before, after = FileDescriptorSet.FromString(self.path.read_bytes()), self._current()
        return breaks(before, after, PACKAGE), additions(before, after, PACKAGE)

    def freeze(self, reason: str = "") -> list[str]:
        """Declare what the .proto file says now.

        Args:
            reason: why something may be broken; empty when nothing may. It is kept beside the baseline.

        Returns:
            The names of what is new.

        Raises:
            RuntimeError: protoc refuses the .proto file.
            Refused: something would be broken, and no reason is given.
        """
        broken, new = self.compare() if self.path.exists() else ([], [])
        if broken and not reason:
            raise Refused("the baseline stays, because the .proto file breaks what it declares:\n" + _listed(broken))
        if broken:
            entry = f"## {' '.join(reason.split())}\n\n{_listed(broken)}\n"
            head = self.log.read_text() if self.log.exists() else "# What was broken, and why\n"
            self.log.write_text(f"{head}\n{entry}")
        self.path.write_bytes(self._current().SerializeToString(deterministic=True))
        return new

    def _current(self) -> FileDescriptorSet:
        return described(PROTO, self._sources)


def _listed(broken: list[Break]) -> str:
    return "\n".join(f"- {each}" for each in broken)
