"""tools.yaml: the tools that can be built, with module graph and stamp. Parsing and validation only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.toolchain.errors import ToolError

_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")
_FOLDER = re.compile(r"[a-z][a-z0-9-]*(/[a-z][a-z0-9-]*)*\Z")
_MODULE = re.compile(r"[a-z0-9.-]+(/[a-z0-9._-]+)+\Z")  # a capital letter would have another name on disk
_VERSION = re.compile(r"v\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?\Z")


@dataclass(frozen=True)
class Cost:
    """The cost of building everything of a folder without any cache."""

    cpu_seconds: int
    packages: int
    disk_mib: int
    memory_mib: int


@dataclass(frozen=True)
class Folder:
    """One Go module graph: `tools/<name>`.

    Attributes:
        inside: module with a graph of its own. Its tools are built in the folder into which Go unpacks it.
    """

    name: str
    cost: Cost
    version: str = ""
    stamp: Mapping[str, str] = field(default_factory=dict, hash=False)
    inside: str = ""


@dataclass(frozen=True)
class Tool:
    """A program. Its executable has the tool's name.

    Attributes:
        beside: files that the program needs beside it: paths from its package.
    """

    name: str
    group: str
    folder: Folder
    package: str
    ask: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """True for a program of this repository, whose sources are in the folder."""
        return self.package.startswith(".")


@dataclass(frozen=True)
class Manifest:
    """All tools by name, in the order of the file."""

    tools: Mapping[str, Tool]

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in the order of the file."""
        return tuple(dict.fromkeys(tool.group for tool in self.tools.values()))

    def folder_tools(self, folder: Folder) -> tuple[Tool, ...]:
        """List every tool of one folder.

        Args:
            folder: one of this manifest.

        Returns:
            Its tools, in the order of the file.
        """
        return tuple(tool for tool in self.tools.values() if tool.folder.name == folder.name)

    def select(self, names: Iterable[str]) -> tuple[Tool, ...]:
        """Resolve names of tools and groups.

        Args:
            names: tools and groups. Empty means every tool.

        Returns:
            Each tool once, in the order of the file.

        Raises:
            ToolError: a name is neither a tool nor a group.
        """
        wanted: set[str] = set()
        for name in (names := list(names)):
            found = {tool.name for tool in self.tools.values() if name in (tool.name, tool.group)}
            if not found:
                raise ToolError(
                    f"there is no tool or group {name!r} in tools/tools.yaml; "
                    f"groups: {', '.join(self.groups)}; tools: {', '.join(self.tools)}"
                )
            wanted |= found
        return tuple(tool for tool in self.tools.values() if tool.name in wanted or not names)


def load(path: Path) -> Manifest:
    """Read and validate the manifest file.

    Args:
        path: `tools/tools.yaml`.

    Returns:
        The manifest.

    Raises:
        ToolError: it cannot be read or is not valid. The text has the key.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ToolError(f"{path}: {error}; restore it with git checkout {path}") from None
    try:
        return parse(document)
    except ToolError as error:
        raise ToolError(f"{path}: {error}") from None


def parse(document: object) -> Manifest:
    """Validate a parsed manifest.

    Args:
        document: the parsed YAML: mappings `folders` and `tools`, described at the top of tools.yaml.

    Returns:
        The manifest.

    Raises:
        ToolError: a key is missing or unknown, or a value has the wrong form. The text has the key.
    """
    top = _mapping(document, "the file", required={"folders", "tools"})
    folders = {name: _folder(name, value) for name, value in _mapping(top["folders"], "folders", None).items()}
    tools = {name: _tool(name, value, folders) for name, value in _mapping(top["tools"], "tools", None).items()}
    if clash := sorted(set(tools) & {tool.group for tool in tools.values()}):
        raise ToolError(f"tools.{clash[0]}: a group has the same name; rename one of them")
    for tool in tools.values():
        shared = [other.name for other in tools.values() if other.folder.name == tool.folder.name]
        if tool.package == "." and len(shared) > 1:
            raise ToolError(f"tools.{tool.name}.package: '.' needs a folder of its own, but {shared} share one")
    return Manifest(tools)


def _folder(name: str, value: object) -> Folder:
    place = f"folders.{name}"
    if not _FOLDER.match(name):
        raise ToolError(f"{place}: a folder name is lower-case letters, digits, '-' and '/'")
    entry = _mapping(value, place, required={"cost"}, optional={"version", "stamp", "inside"})
    keys = {"cpu_seconds", "packages", "disk_mib", "memory_mib"}
    cost = _mapping(entry["cost"], f"{place}.cost", required=keys)
    for key, number in cost.items():
        if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
            raise ToolError(f"{place}.cost.{key}: a whole number above 0 is needed, not {number!r}")
    version = entry.get("version", "")
    if version and not (isinstance(version, str) and _VERSION.match(version)):
        raise ToolError(f"{place}.version: a version like v1.36.3 is needed, not {version!r}")
    inside = entry.get("inside", "")
    if inside and not (isinstance(inside, str) and _MODULE.match(inside) and version):
        raise ToolError(f"{place}.inside: a module's path is needed, and its version beside it, not {inside!r}")
    stamp = _mapping(entry.get("stamp", {}), f"{place}.stamp", None)
    for key, text in stamp.items():
        if not isinstance(text, str) or re.search(r"\s|'|\"", key + text):
            raise ToolError(f"{place}.stamp.{key}: a quoted text without spaces is needed, not {text!r}")
    return Folder(name, Cost(**cost), version, stamp, inside)


def _tool(name: str, value: object, folders: Mapping[str, Folder]) -> Tool:
    place = f"tools.{name}"
    if not _NAME.match(name):
        raise ToolError(f"{place}: a tool name is lower-case letters, digits and '-'")
    entry = _mapping(value, place, required={"group", "folder", "package"}, optional={"ask", "beside"})
    for key in ("group", "folder", "package"):
        if not isinstance(entry[key], str) or not entry[key]:
            raise ToolError(f"{place}.{key}: a text is needed, not {entry[key]!r}")
    if entry["folder"] not in folders:
        raise ToolError(f"{place}.folder: {entry['folder']!r} is not one of folders: {', '.join(folders)}")
    ask, beside = (_texts(entry.get(key, []), f"{place}.{key}") for key in ("ask", "beside"))
    folder = folders[entry["folder"]]
    if ask and not folder.version:
        raise ToolError(f"{place}.ask: folders.{folder.name} has no version to compare the answer with")
    return Tool(name, entry["group"], folder, entry["package"], ask, beside)


def _texts(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ToolError(f"{place}: a list of texts is needed, not {value!r}")
    return tuple(value)


def _mapping(
    value: object, place: str, required: set[str] | None = None, optional: set[str] | None = None
) -> dict[str, Any]:
    """Check that `value` is a mapping with these keys; any keys if `required` is None."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ToolError(f"{place}: a mapping with text keys is needed, not {value!r}")
    if required is not None:
        if missing := sorted(required - value.keys()):
            raise ToolError(f"{place}: {missing[0]!r} is missing")
        if unknown := sorted(value.keys() - required - (optional or set())):
            known = ", ".join(sorted(required | (optional or set())))
            raise ToolError(f"{place}: {unknown[0]!r} is unknown; known: {known}")
    return value
