"""Splits a file that kubectl has written into objects, and recognises files that are none."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from moorage.kube.errors import UNREADABLE
from moorage.kube.wire import lenient
from moorage.wording import counted, followed

from .command import COMMAND
from .yamltext import NotYaml, documents

STDIN = "-"
MAX_BYTES = 4 << 30
MAX_YAML = 64 << 20
"""Bytes; YAML takes ten times as long to read."""
_AGAIN = f"Write it anew: {COMMAND}"
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -c"),
    b"PK\x03\x04": ("zip", "unzip -p"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"\xfd7zXZ": ("xz", "xz -dc"),
    b"BZh": ("bzip2", "bunzip2 -c"),
}
_TABLE = re.compile(rb"(NAMESPACE|NAME|LAST SEEN) +[A-Z]")
_ERROR = re.compile(rb"(?i)(error|warning|the connection|unable to connect|no resources found)[ :]")
_AT_BYTE = re.compile(r"\(byte (\d+)\)")


class DumpError(Exception):
    """A dump that cannot be read; the message names the file, the problem, and the way out."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{shown(name)}: {sentence}")


class Item(NamedTuple):
    """One object, not decoded yet.

    Attributes:
        place: where it is, for people: ``items[3]``.
        kind: of the object, or of the list that it is in.
        api_version: likewise.
        data: its JSON.
    """

    place: str
    kind: str
    api_version: str
    data: bytes | msgspec.Raw


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _Top(msgspec.Struct):
    """A list or an object."""

    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")
    metadata: msgspec.Raw = msgspec.Raw()
    items: tuple[msgspec.Raw, ...] | None = None
    message: Any = None


class _Head(msgspec.Struct):
    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")


_top = msgspec.json.Decoder(_Top)
_list = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_head = msgspec.json.Decoder(_Head)
_meta = msgspec.json.Decoder(_ListMeta)


def shown(name: str) -> str:
    """Return the name of a file in messages."""
    return "standard input" if name == STDIN else name


def content(name: str) -> tuple[bytes, datetime]:
    """Return the text of a file, and when it was written; standard input is written now.

    Args:
        name: its path, or ``-``.

    Raises:
        DumpError: it cannot be read, or holds no text.
    """
    try:
        if name == STDIN:
            data, written = sys.stdin.buffer.read(MAX_BYTES + 1), time.time()
        else:
            with open(name, "rb") as file:
                data, written = file.read(MAX_BYTES + 1), Path(name).stat().st_mtime
    except OSError as error:
        raise DumpError(name, f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise DumpError(name, f"is larger than {MAX_BYTES >> 30} GiB, and no dump is")
    return _utf8(name, data), datetime.fromtimestamp(written, UTC)


def _utf8(name: str, data: bytes) -> bytes:
    for magic, (what, command) in _PACKED.items():
        if data.startswith(magic):
            way = f"{command} {shown(name)} | moorage evictor --from -"
            raise DumpError(name, f"is packed with {what}; unpack it: {way}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:2]:  # what PowerShell's > makes
        encoding = "utf-16" if data[0] >= 0xFE else "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        try:
            return data.decode(encoding).encode()
        except UnicodeError as error:
            raise DumpError(name, f"looks like UTF-16 and is none. {_AGAIN}") from error
    return data.removeprefix(b"\xef\xbb\xbf")


def items(name: str, data: bytes) -> Iterator[Item]:
    """Yield the objects in the text of a file.

    Args:
        name: the file, for messages.
        data: its text, UTF-8.

    Raises:
        DumpError: it is no dump.
    """
    blank = re.match(rb"\s*", data)
    start = blank.end() if blank else 0
    begin = data[start : start + 40]
    if not begin:
        raise DumpError(name, f"is empty. {_AGAIN}")
    try:
        if begin.startswith((b"{", b"[")):
            yield from _of_json(name, data)
        else:
            yield from _of_text(name, data, begin)
    except UnicodeDecodeError as error:
        raise DumpError(name, f"is not UTF-8. {_AGAIN}") from error
    except RecursionError as error:
        raise DumpError(name, f"is nested too deeply to be objects of Kubernetes. {_AGAIN}") from error
    except msgspec.ValidationError as error:
        raise DumpError(name, followed(f"holds no objects of Kubernetes: {error}", _AGAIN)) from error
    except msgspec.DecodeError as error:
        raise DumpError(name, _not_json(data, str(error))) from error


def _of_json(name: str, data: bytes) -> Iterator[Item]:
    if data.lstrip()[:1] == b"[":
        for index, raw in enumerate(_list.decode(data)):
            yield _item(name, f"[{index}]", raw)
        return
    top = _top.decode(data)
    if top.kind == "Status":
        raise DumpError(name, f"is an error that the API server has answered: {str(top.message)[:200]}")
    if top.kind == "Table":
        raise DumpError(name, f"is a table for kubectl, without the objects. {_AGAIN}")
    if top.items is None or not (top.kind.endswith("List") or not top.kind):
        yield Item("the object", top.kind, top.api_version, data)
        return
    if bytes(top.metadata).strip()[:1] == b"{" and lenient.decode(top.metadata, _meta).continue_:
        raise DumpError(name, f"is one page of a list, and the others are missing. {_AGAIN}")
    of = top.kind.removesuffix("List")
    for index, raw in enumerate(top.items):
        yield _item(name, f"items[{index}]", raw, of, top.api_version if of else "")


def _item(name: str, place: str, raw: msgspec.Raw, kind: str = "", version: str = "") -> Item:
    """One object of a list; objects in a list of one kind do not name their kind."""
    try:
        head = lenient.decode(raw, _head)
    except UNREADABLE as error:
        raise DumpError(name, followed(f"{place} is no object of Kubernetes: {error}", _AGAIN)) from error
    return Item(place, head.kind or kind, head.api_version or version, raw)


def _of_text(name: str, data: bytes, begin: bytes) -> Iterator[Item]:
    if _TABLE.match(begin):
        raise DumpError(name, f"is a table, as kubectl writes it for people: -o json is missing. {_AGAIN}")
    if _ERROR.match(begin):
        raise DumpError(name, f"begins with what kubectl says to people, not with what it has read. {_AGAIN}")
    if b":" not in data[:4096]:
        raise DumpError(name, f"is neither JSON nor YAML. {_AGAIN}")
    if len(data) > MAX_YAML:
        raise DumpError(name, f"is YAML of more than {MAX_YAML >> 20} MiB, which takes too long to read. {_AGAIN}")
    try:
        for value in documents(data):
            if isinstance(value, dict | list):
                yield from _of_json(name, msgspec.json.encode(value))
            elif value is not None:
                raise DumpError(name, f"is neither JSON nor YAML of objects. {_AGAIN}")
    except NotYaml as error:
        raise DumpError(name, followed(f"is neither JSON nor YAML: {error}", _AGAIN)) from error


def _not_json(data: bytes, error: str) -> str:
    found = _AT_BYTE.search(error)
    if found is None:
        lines = data.count(b"\n") + 1
        return f"is cut off in the middle: it ends in line {lines}, after {counted(len(data), 'byte')}. {_AGAIN}"
    at = int(found[1])
    line = data.count(b"\n", 0, at) + 1
    if "trailing" in error:
        return f"holds something else behind its first list, in line {line}, byte {at}. Put it into a file of its own"
    return f"is no JSON: {error.partition(':')[2].partition('(')[0].strip()} in line {line}, byte {at}. {_AGAIN}"
