"""Finding and building, with a fake `go`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.tools.conftest import script
from tools.toolchain import ToolError, __main__, build, doctor, golang, guard, host, provide
from tools.toolchain.cache import Cache, remove
from tools.toolchain.console import Console


@pytest.fixture
def console() -> Console:
    return Console(io.StringIO())


def said(console: Console) -> str:
    stream = console._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def builds(calls: Path) -> list[str]:
    return [line for line in calls.read_text().splitlines() if line.startswith("build")]


def test_tools_of_one_folder_share_one_build(cache: Cache, calls: Path, console: Console) -> None:
    paths = provide.ensure(["demo"], cache, console)
    assert {name: path.name for name, path in paths.items()} == {"alpha": "alpha", "beta": "beta"}
    assert (
        subprocess.run([paths["alpha"]], capture_output=True, text=True, check=True).stdout.strip().endswith("v1.2.3")
    )
    (call,) = builds(calls)
    assert "-trimpath" in call
    assert "-mod=readonly" in call
    assert "-ldflags -s -w -X example.org/things/version.Version=v1.2.3" in call
    announcement, *_ = said(console).splitlines()
    assert announcement.startswith("building alpha v1.2.3, beta v1.2.3: about ")
    assert "disk" in announcement
    assert "memory" in announcement


@pytest.mark.usefixtures("calls")
def test_a_script_of_the_module_lies_beside_the_program_that_wants_it(
    cache: Cache, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (cache.root / "tools/tools.yaml").open("a") as manifest:
        manifest.write("  gamma: {group: iac, folder: things, package: x.org/gamma, beside: [../gamma-exec]}\n")
    (tmp_path / "module" / "gamma").mkdir(parents=True)
    (tmp_path / "module" / "gamma-exec").write_text("#!/bin/sh\n")
    monkeypatch.setenv("FAKE_GO_PACKAGE", str(tmp_path / "module" / "gamma"))
    path = provide.ensure(["gamma"], cache, console)["gamma"]
    assert path.with_name("gamma-exec").read_text() == "#!/bin/sh\n"
    assert os.access(path.with_name("gamma-exec"), os.X_OK)


@pytest.fixture
def inside(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tool of a module with its own graph that needs a newer Go. Returns Go's output of its download."""
    with (cache.root / "tools/tools.yaml").open("a") as manifest:
        manifest.write("  delta: {group: iac, folder: there, package: x.org/delta/cmd}\n")
    text = (cache.root / "tools/tools.yaml").read_text()
    there = "  there:\n    version: v1.0.0\n    inside: x.org/delta\n"
    there += "    cost: {cpu_seconds: 1, packages: 1, disk_mib: 1, memory_mib: 1}\ntools:\n"
    (cache.root / "tools/tools.yaml").write_text(text.replace("tools:\n", there, 1))
    (cache.root / "tools/there").mkdir()
    (cache.root / "tools/there/go.mod").write_text("module x.org/delta\n")
    (cache.root / "tools/there/go.sum").write_text("x.org/delta v1.0.0 h1:good=\n")
    (tmp_path / "home/go-mod/x.org/delta@v1.0.0").mkdir(parents=True)
    download = tmp_path / "download.json"
    download.write_text('{"Sum": "h1:good=", "Error": "x.org/delta@v1.0.0 requires go >= 1.27"}')
    monkeypatch.setenv("FAKE_GO_DOWNLOAD", str(download))
    return download


@pytest.mark.usefixtures("inside")
def test_a_module_that_asks_for_a_newer_go_is_built_in_its_own_folder(
    cache: Cache, calls: Path, console: Console, tmp_path: Path
) -> None:
    assert os.access(provide.ensure(["delta"], cache, console)["delta"], os.X_OK)
    (call,) = builds(calls)
    assert f"-modfile={cache.root / 'tools/there/go.mod'}" in call
    assert calls.with_suffix(".place").read_text().strip() == str(tmp_path / "home/go-mod/x.org/delta@v1.0.0")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('{"Sum": "h1:bad="}', r"x\.org/delta@v1\.0\.0 cannot be used: its sum h1:bad= is not in .*there/go\.sum"),
        ('{"Error": "no such host"}', r"x\.org/delta@v1\.0\.0 cannot be used: no such host"),
        ("", r"x\.org/delta@v1\.0\.0 cannot be used: "),
    ],
)
def test_a_module_that_is_not_what_its_sum_says_is_not_built(
    cache: Cache, calls: Path, console: Console, inside: Path, said: str, message: str
) -> None:
    inside.write_text(said)
    with pytest.raises(ToolError, match=message):
        provide.ensure(["delta"], cache, console)
    assert builds(calls) == []


def test_what_is_there_is_not_built_again(cache: Cache, calls: Path, console: Console) -> None:
    first = provide.ensure(["demo"], cache, console)
    calls.write_text("")
    assert provide.ensure(["demo"], cache, console) == first
    assert calls.read_text() == ""


def test_changed_go_sum_means_another_folder(cache: Cache, checkout: Path, calls: Path, console: Console) -> None:
    old = provide.ensure(["alpha"], cache, console)["alpha"]
    (checkout / "tools/things/go.sum").write_text("b v2 h1:z\n")
    again = Cache(checkout, {"MOORAGE_TOOLS_DIR": str(cache.base)})
    new = provide.ensure(["alpha"], again, console)["alpha"]
    assert new != old
    assert again.outdated() == [old.parents[1]]


def test_changed_source_of_our_own_program_means_another_folder(cache: Cache, checkout: Path) -> None:
    before = cache.path(cache.manifest.tools["hello"])
    things = cache.path(cache.manifest.tools["alpha"])
    (checkout / "tools/own/hello/main.go").write_text("package main\n\nfunc main() { println() }\n")
    again = Cache(checkout, {"MOORAGE_TOOLS_DIR": str(cache.base)})
    assert again.path(again.manifest.tools["hello"]) != before
    assert again.path(again.manifest.tools["alpha"]) == things


def test_our_own_program_is_called_like_the_tool(cache: Cache, calls: Path, console: Console) -> None:
    path = provide.ensure(["hello"], cache, console)["hello"]
    assert path.name == "hello"
    assert path.parents[1].name.startswith("own-hello-")
    assert os.access(path, os.X_OK)


def test_failed_build_leaves_nothing_but_its_log(
    cache: Cache, calls: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(ToolError) as caught:
        provide.ensure(["demo"], cache, console)
    folder = cache.folder(cache.manifest.tools["alpha"].folder)
    lines = str(caught.value).splitlines()
    assert lines[:20] == [f"error line {number}" for number in range(11, 31)]
    assert "building of things failed (exit code 1)" in lines[20]
    assert str(folder / "build.log") in lines[20]
    assert list((folder / "bin").iterdir()) == []
    assert list(folder.glob("tmp-*")) == []
    assert "error line 1\n" in (folder / "build.log").read_text()
    monkeypatch.delenv("FAKE_GO_FAILS")
    assert set(provide.ensure(["demo"], cache, console)) == {"alpha", "beta"}


def test_remains_of_a_killed_build_go_with_the_next(cache: Cache, calls: Path, console: Console) -> None:
    remains = cache.folder(cache.manifest.tools["alpha"].folder) / "tmp-killed" / "out"
    remains.mkdir(parents=True)
    (remains / "alpha").write_text("half")
    provide.ensure(["alpha"], cache, console)
    assert not remains.parent.exists()


def test_right_version_on_path_is_taken(cache: Cache, calls: Path, console: Console, tmp_path: Path) -> None:
    mine = script(tmp_path / "bin/alpha", "#!/bin/sh\necho alpha v1.2.3\n")
    script(tmp_path / "bin/beta", "#!/bin/sh\necho beta v1.2.4\n")
    paths = provide.ensure(["demo"], cache, console)
    assert paths["alpha"] == mine
    assert paths["beta"] == cache.path(cache.manifest.tools["beta"])
    assert "alpha" not in builds(calls)[0].split("-o ")[1].split()[1]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho alpha v1.2.3; exit 3\n", "not a program"])
def test_broken_program_on_path_is_not_taken(
    cache: Cache, calls: Path, console: Console, tmp_path: Path, text: str
) -> None:
    script(tmp_path / "bin/alpha", text)
    assert provide.ensure(["alpha"], cache, console)["alpha"] == cache.path(cache.manifest.tools["alpha"])


def test_path_of_a_missing_tool_says_how_to_get_it(cache: Cache, calls: Path) -> None:
    with pytest.raises(ToolError, match=r"alpha v1\.2\.3 has not been built; \./taskw tools:build -- alpha"):
        provide.tool_path("alpha", cache)
    with pytest.raises(ToolError, match="no tool 'gamma'"):
        provide.tool_path("gamma", cache)


def test_too_little_disk_is_refused_before_anything_is_built(
    cache: Cache, calls: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "free_mib", lambda _path: 5)
    with pytest.raises(ToolError, match=r"not enough disk: 20\d MiB needed, 5 MiB free"):
        provide.ensure(["demo"], cache, console)
    assert builds(calls) == []


def test_cache_that_cannot_be_made_is_named(checkout: Path, calls: Path, console: Console, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = Cache(checkout, {"MOORAGE_TOOLS_DIR": str(tmp_path / "file" / "tools")})
    with pytest.raises(ToolError, match=r"file/tools: Not a directory; .*MOORAGE_TOOLS_DIR"):
        provide.ensure(["demo"], blocked, console)


def test_second_builder_waits_and_finds_the_tools(cache: Cache, calls: Path) -> None:
    """Two at once: one compiles, the other says that it waits, or comes after; never two builds."""
    go = golang.present(cache)
    assert go is not None
    folder = cache.manifest.tools["alpha"].folder
    tools = cache.manifest.folder_tools(folder)
    consoles = [Console(io.StringIO()), Console(io.StringIO())]
    threads = [
        threading.Thread(target=build.Builder(cache, go, 1, console).build, args=(folder, tools))
        for console in consoles
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(builds(calls)) == 1
    assert all(cache.has(tool) for tool in tools)


def test_doctor_tells_cache_path_and_missing(cache: Cache, calls: Path, console: Console, tmp_path: Path) -> None:
    script(tmp_path / "bin/alpha", "#!/bin/sh\necho alpha v1.2.3\n")
    provide.ensure(["beta"], cache, console)
    report = doctor.examine(cache)
    assert {state.name: state.found for state in report.tools} == {"alpha": "PATH", "beta": "cache", "hello": "missing"}
    assert report.problems == []
    assert report.go["version"] == "1.26.9"
    values = json.loads(json.dumps(doctor.as_json(report)))
    assert values["tools"][2]["build_seconds"] > 0
    text = doctor.as_text(report)
    assert "hello" in text
    assert "to build when first needed" in text


def test_doctor_says_when_tools_cannot_be_had(cache: Cache, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_mib", lambda _path: 5)
    report = doctor.examine(cache)
    assert "5 MiB are free" in report.problems[0]
    assert "problem: " in doctor.as_text(report)


def test_command_prints_names_and_paths(
    checkout: Path, cache: Cache, calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "Cache", lambda: cache)
    monkeypatch.setattr(guard, "interrupt_with_parent", lambda: None)  # signals belong to pytest here
    assert __main__.main(["build", "alpha"]) == 0
    assert capsys.readouterr().out == f"alpha {cache.path(cache.manifest.tools['alpha'])}\n"
    assert __main__.main(["path", "alpha"]) == 0
    assert __main__.main(["path", "nothing"]) == 1
    assert "there is no tool 'nothing'" in capsys.readouterr().err
    assert __main__.main(["clean", "--all"]) == 0
    assert not cache.path(cache.manifest.tools["alpha"]).exists()


def test_interrupt_is_one_line(
    cache: Cache, calls: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(__main__, "Cache", lambda: cache)
    monkeypatch.setattr(guard, "interrupt_with_parent", lambda: None)
    monkeypatch.setattr(provide, "ensure", interrupted)
    assert __main__.main(["build"]) == 130
    assert capsys.readouterr().err == "tools: interrupted; run again to resume\n"


def test_read_only_module_folders_can_be_deleted(tmp_path: Path) -> None:
    inner = tmp_path / "go-path" / "mod"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0o500)
    remove(tmp_path / "go-path")
    assert not (tmp_path / "go-path").exists()


def test_help_shows_examples() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tools.toolchain", "build", "--help"], capture_output=True, text=True, check=True
    )
    assert "./taskw tools:build -- demo" in answer.stdout
