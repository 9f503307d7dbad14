"""The declared version of the protocol: one file beside the .proto file. ``buf`` can read it, too."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.generate.protocol import PROTO, SOURCES, described

from .breaking import Break, additions, breaks

PACKAGE = str(Path(PROTO).parent).replace("/", ".")


class Refused(Exception):
    """The baseline is not changed. The text names the reason."""


class Baseline:
    """The declared version, and the current .proto file.

    Args:
        sources: the folder with all packages.
    """

    def __init__(self, sources: Path = SOURCES) -> None:
        self.proto = sources / PROTO
        self.path = self.proto.with_suffix(".binpb")
        self.log = self.proto.with_suffix(".breaks.md")
        self._sources = sources

    def compare(self) -> tuple[list[Break], list[str]]:
        """The breaks, and the names of additions.

        Raises:
            RuntimeError: protoc refuses the .proto file.
            Refused: there is no baseline.
        """
        if not self.path.exists():
            raise Refused(f"{self.path} is missing: restore it, or declare one with ./taskw proto:freeze")
        before, after = FileDescriptorSet.FromString(self.path.read_bytes()), self._current()
        return breaks(before, after, PACKAGE), additions(before, after, PACKAGE)

    def freeze(self, reason: str = "") -> list[str]:
        """Declare the current .proto file.

        Args:
            reason: why a break is allowed; empty if none is. It is stored beside the baseline.

        Returns:
            The names of additions.

        Raises:
            RuntimeError: protoc refuses the .proto file.
            Refused: something would break, and no reason is given.
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
