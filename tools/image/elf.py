"""Shared objects: their dependencies and debugging information. Runs inside the build; 64-bit little-endian ELF only.

Layout: System V ABI, chapter 4 and 5 (object files, program loading).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

_MAGIC = b"\x7fELF\x02\x01"
_LOAD, _DYNAMIC = 1, 2  # program headers
_NEEDED, _STRTAB = 1, 5  # dynamic entries
_NOBITS, _ALLOC = 8, 2  # section headers
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SECTIONS_AT = 40  # offset of the section headers' offset in the file's header


@dataclass(frozen=True)
class _Segment:
    kind: int
    start: int
    address: int
    size: int


@dataclass(frozen=True)
class _Section:
    name: int
    kind: int
    flags: int
    address: int
    start: int
    size: int
    link: int
    info: int
    align: int
    entry: int

    def packed(self) -> bytes:
        return _SECTION.pack(*(getattr(self, field) for field in self.__dataclass_fields__))


def needed_libraries(elf: bytes) -> Iterator[str]:
    """The libraries that a shared object needs from the loader.

    Args:
        elf: the file; any file but a 64-bit little-endian ELF file needs none.

    Yields:
        Names such as `libc.so.6`.
    """
    if not elf.startswith(_MAGIC):
        return
    segments = _segments(elf)
    for dynamic in (segment for segment in segments if segment.kind == _DYNAMIC):
        entries = [struct.unpack_from("<QQ", elf, dynamic.start + at) for at in range(0, dynamic.size, 16)]
        table = next(value for tag, value in entries if tag == _STRTAB)
        home = next(each for each in segments if each.kind == _LOAD and 0 <= table - each.address < each.size)
        for tag, value in entries:
            if tag == _NEEDED:
                yield _text(elf, home.start + table - home.address + value)


def without_debug(elf: bytes) -> bytes:
    """Remove the debugging information of some wheels: no loader reads it, and it is most of their size.

    Args:
        elf: the file.

    Returns:
        The same program with the same symbols and sections, but empty `.debug_*` sections. Other files unchanged.
    """
    if not elf.startswith(_MAGIC):
        return elf
    sections, names = _sections(elf)
    loaded = max(segment.start + segment.size for segment in _segments(elf))
    dropped = {
        index
        for index, each in enumerate(sections)
        if not each.flags & _ALLOC and each.start >= loaded and _text(elf, names + each.name).startswith(".debug_")
    }
    if not dropped:
        return elf
    kept = bytearray(elf[:loaded])
    headers = [_Section(*[0] * 10) if index in dropped else each for index, each in enumerate(sections)]
    for index, each in sorted(enumerate(headers), key=lambda pair: pair[1].start):
        if each.start >= loaded and each.kind != _NOBITS:
            kept += bytes(-len(kept) % max(1, each.align))
            headers[index] = replace(each, start=len(kept))
            kept += elf[each.start : each.start + each.size]
    kept += bytes(-len(kept) % 8)
    struct.pack_into("<Q", kept, _SECTIONS_AT, len(kept))
    return bytes(kept) + b"".join(each.packed() for each in headers)


def _segments(elf: bytes) -> list[_Segment]:
    (at,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    found = []
    for index in range(count):
        kind, _flags, start, address, _physical, length = struct.unpack_from("<IIQQQQ", elf, at + index * size)
        found.append(_Segment(kind, start, address, length))
    return found


def _sections(elf: bytes) -> tuple[list[_Section], int]:
    """All section headers, and the start of their names."""
    (at,) = struct.unpack_from("<Q", elf, _SECTIONS_AT)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    found = [_Section(*_SECTION.unpack_from(elf, at + index * size)) for index in range(count)]
    return found, found[names].start if found else 0


def _text(elf: bytes, at: int) -> str:
    return elf[at : elf.index(b"\0", at)].decode()
