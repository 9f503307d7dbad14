from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tools.toolchain import ToolError, manifest
from tools.toolchain.cache import ROOT

COST = {"cpu_seconds": 1, "packages": 1, "disk_mib": 1, "memory_mib": 1}
GOOD: dict[str, Any] = {
    "folders": {"a": {"version": "v1.2.3", "stamp": {"x.y": "v1"}, "cost": COST}},
    "tools": {
        "one": {"group": "demo", "folder": "a", "package": "x/one", "ask": ["--version"]},
        "two": {"group": "test", "folder": "a", "package": "x/two"},
    },
}


def test_the_repositorys_manifest_is_valid_and_every_folder_is_a_module() -> None:
    tools = manifest.load(ROOT / "tools" / "tools.yaml").tools.values()
    demo = {tool.name for tool in tools if tool.group == "demo"}
    assert demo == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubemark"}
    for tool in tools:
        assert (ROOT / "tools" / tool.folder.name / "go.mod").exists(), tool.name


def test_stamped_version_is_the_version_of_the_module_required() -> None:
    """A new version in go.mod alone would be built and then never be found on PATH, or report the old one."""
    for tool in manifest.load(ROOT / "tools" / "tools.yaml").tools.values():
        if not tool.local:
            folder = ROOT / "tools" / tool.folder.name
            if tool.folder.inside:
                named = f"{tool.folder.inside} {tool.folder.version} h1:"
                assert f"\n{named}" in (folder / "go.sum").read_text(), tool.folder.name
            else:
                required = (folder / "go.mod").read_text().split("require (")[0]
                assert f" {tool.folder.version}\n" in required, tool.folder.name


def test_names_and_groups_select_each_tool_once_in_order() -> None:
    parsed = manifest.parse(GOOD)
    assert [tool.name for tool in parsed.select(["two", "demo", "one"])] == ["one", "two"]
    assert [tool.name for tool in parsed.select([])] == ["one", "two"]
    with pytest.raises(ToolError, match=r"'three'.*groups: demo, test; tools: one, two"):
        parsed.select(["three"])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("tools",), None, r"tools: a mapping"),
        (("extra",), {}, r"the file: 'extra' is unknown; known: folders, tools"),
        (("folders", "a", "cost", "packages"), 0, r"folders\.a\.cost\.packages: a whole number above 0"),
        (("folders", "a", "cost", "packages"), True, r"folders\.a\.cost\.packages: a whole number above 0"),
        (("folders", "a", "version"), 1.2, r"folders\.a\.version: a version like v1\.36\.3"),
        (("folders", "a", "stamp", "x.y"), 36, r"folders\.a\.stamp\.x\.y: a quoted text"),
        (("folders", "a", "stamp", "x.y"), "a b", r"folders\.a\.stamp\.x\.y: a quoted text"),
        (("folders", "a", "inside"), "module", r"folders\.a\.inside: a module's path"),
        (("folders", "b"), {"inside": "x.org/b", "cost": COST}, r"folders\.b\.inside: .*and its version beside it"),
        (("folders", "../up"), {"cost": COST}, r"folders\.\.\./up: a folder name"),
        (("tools", "one", "folder"), "b", r"tools\.one\.folder: 'b' is not one of folders: a"),
        (("tools", "one", "ask"), "--version", r"tools\.one\.ask: a list"),
        (("tools", "one", "beside"), [1], r"tools\.one\.beside: a list"),
        (("tools", "one", "package"), "", r"tools\.one\.package: a text"),
        (("tools", "one", "package"), ".", r"tools\.one\.package: '\.' needs a folder of its own"),
        (("tools", "One"), GOOD["tools"]["one"], r"tools\.One: a tool name"),
        (("tools", "demo"), GOOD["tools"]["one"], r"tools\.demo: a group has the same name"),
    ],
)
def test_mistake_is_named_with_its_place(place: tuple[str, ...], value: object, message: str) -> None:
    document = copy.deepcopy(GOOD)
    entry = document
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = value
    with pytest.raises(ToolError, match=message):
        manifest.parse(document)


def test_missing_key_is_named() -> None:
    document = copy.deepcopy(GOOD)
    del document["tools"]["one"]["folder"]
    with pytest.raises(ToolError, match=r"tools\.one: 'folder' is missing"):
        manifest.parse(document)


def test_version_question_needs_a_version() -> None:
    document = copy.deepcopy(GOOD)
    del document["folders"]["a"]["version"]
    with pytest.raises(ToolError, match=r"tools\.one\.ask: folders\.a has no version"):
        manifest.parse(document)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("folders: [")
    with pytest.raises(ToolError, match=r"tools\.yaml: while parsing"):
        manifest.load(path)
