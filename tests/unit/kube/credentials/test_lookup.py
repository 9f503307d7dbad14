"""The program of a plugin's command, and the error if there is none.

Root may search every folder, so what is about rights runs in a process that has given that up.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.kube.credentials import CredentialsError, load, lookup
from moorage.kube.credentials.plugin import Plugin
from tests.unit.kube.credentials.support import EXEC, V1, Write, script

ROOT = Path(__file__).parents[4]
NAME = "moorage-test-plugin"


def program(folder: Path) -> None:
    script(folder / NAME, "answer(token=sys.argv[0])")


def text(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / NAME).write_text("no program")


def sub_folder(folder: Path) -> None:
    (folder / NAME).mkdir(parents=True)


def link_to_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).symlink_to(folder / "gone")


def link_in_a_circle(folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).symlink_to(folder / NAME)


def closed(folder: Path) -> None:
    program(folder)
    folder.chmod(0)


def not_there(folder: Path) -> None:
    pass


def a_file(folder: Path) -> None:
    folder.write_text("no folder")


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "program": (program, "runs"),
    "text": (text, "refused"),
    "closed": (closed, "hidden"),
    "sub-folder": (sub_folder, "absent"),
    "link to nothing": (link_to_nothing, "absent"),
    "link in a circle": (link_in_a_circle, "absent"),
    "not there": (not_there, "absent"),
    "a file": (a_file, "absent"),
}


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A folder of each kind."""
    for name, (make, _) in KINDS.items():
        make(tmp_path / name)
    yield {name: str(tmp_path / name) for name in KINDS}
    (tmp_path / "closed").chmod(0o755)


# What root may do and others may not is given up; it takes no right to do that (capset(2)).
RIGHTLESS = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0, os.strerror(ctypes.get_errno())
"""


def without_rights(body: str, given: object) -> Any:
    """What `body` leaves in `answer`, from `given`, in a process without rights over the files of others."""
    code = f"{RIGHTLESS}given = json.load(sys.stdin)\n{textwrap.dedent(body)}\njson.dump(answer, sys.stdout)"
    environ = os.environ | {"PYTHONPATH": str(ROOT / "runtime")}
    run = [sys.executable, "-c", code]
    ended = subprocess.run(run, env=environ, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def expected(names: tuple[str, ...], folders: dict[str, str]) -> str:
    """The result with folders of these kinds, in this order."""
    for wanted, sentence in (("runs", "{}"), ("refused", "was found as {}, which may not be run by us")):
        for name in names:
            if KINDS[name][1] == wanted:
                return sentence.format(f"{folders[name]}/{NAME}")
    hidden = [folders[name] for name in dict.fromkeys(names) if KINDS[name][1] == "hidden"]
    but = f" that we may search; we may not search {', '.join(hidden)}" if hidden else ""
    return f"was not found in any folder of PATH{but}"


def test_all_folders_of_path_are_looked_in_and_none_ends_the_search(folders: dict[str, str]) -> None:
    cases = [names for length in (1, 2, 3) for names in itertools.product(KINDS, repeat=length)]
    body = """
        from moorage.kube.credentials.lookup import NoProgram, find
        def said(path):
            try:
                return find(given["name"], path)
            except NoProgram as error:
                return error.what
        answer = [said(path) for path in given["paths"]]
        """
    paths = [os.pathsep.join(folders[name] for name in names) for names in cases]
    answers = without_rights(body, {"name": NAME, "paths": paths})
    assert dict(zip(cases, answers, strict=True)) == {names: expected(names, folders) for names in cases}


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("text", "may not be run by us"),
        ("closed", "is in a folder that we may not search"),
        ("sub-folder", "is a folder"),
        ("link to nothing", "was not found"),
        ("not there", "was not found"),
        ("a file", "was not found"),
        ("program", ""),
    ],
)
def test_a_path_is_that_program_or_none(folders: dict[str, str], kind: str, what: str) -> None:
    body = """
        from moorage.kube.credentials.lookup import NoProgram, find
        try:
            answer = "" if find(given, "/usr/bin") == given else "another"
        except NoProgram as error:
            answer = error.what
        """
    assert without_rights(body, f"{folders[kind]}/{NAME}") == what


@pytest.mark.parametrize("path", ["", ":", ".", "relative:.", "::"])
def test_the_current_folder_is_not_searched(
    folders: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders["program"])
    (Path.cwd() / "relative").mkdir()
    program(Path.cwd() / "relative")
    with pytest.raises(lookup.NoProgram, match=r"was not found because PATH names no folder$") as caught:
        lookup.find(NAME, path)
    assert caught.value.absent


async def test_our_path_counts_and_not_the_one_of_the_plugin(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CredentialsError, match="was not found in any folder of PATH"):
        await Plugin("here", NAME, V1, env={"PATH": folders["program"]}).run()
    monkeypatch.setenv("PATH", folders["program"], prepend=os.pathsep)
    found = await Plugin("here", NAME, V1, env={"PATH": folders["sub-folder"]}).run()
    assert found.token == f"{folders['program']}/{NAME}"


async def test_a_plugin_that_is_not_there_shows_the_install_hint(write: Write) -> None:
    exec_config = {**EXEC, "command": "no-such-plugin-here", "installHint": "Get it from\x1b[31m the team"}
    with pytest.raises(CredentialsError, match=r"was not found in any folder of PATH.*\. Get it from\[31m the team"):
        await load(write({"exec": exec_config})).authenticator.headers()


def test_a_folder_of_path_that_may_not_be_searched_is_no_reason_to_make_anything_executable(
    folders: dict[str, str],
) -> None:
    body = """
        import asyncio
        from moorage.kube.credentials import CredentialsError
        from moorage.kube.credentials.plugin import Plugin
        os.environ["PATH"] = given["path"]
        plugin = Plugin("here", given["name"], given["version"], install_hint=given["hint"])
        try:
            answer = asyncio.run(plugin.run()).token
        except CredentialsError as error:
            answer = str(error)
        """
    told = {"path": f"{folders['closed']}:/usr/bin", "name": NAME, "version": V1, "hint": "Get it from the team"}
    assert without_rights(body, told) == (
        f"here: user.exec: credential plugin '{NAME}' was not found in any folder of PATH that we may search; "
        f"we may not search {folders['closed']}. Get it from the team"
    )
    told["path"] += f":{folders['program']}"
    assert without_rights(body, told) == f"{folders['program']}/{NAME}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("#!/no/such/interpreter\n", r"names an interpreter that is not there\. Install that"),
        ("no program", r"failed \(exit status 127\)\. Run it by hand"),  # uvloop leaves it to sh, as a shell does
    ],
)
async def test_what_is_found_and_does_not_start(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / NAME
    path.write_text(content)
    path.chmod(0o755)
    with pytest.raises(CredentialsError, match=words) as caught:
        await Plugin("here", str(path), V1, install_hint="Get it from the team").run()
    assert "Get it" not in str(caught.value)


async def test_what_may_not_be_run_is_named(folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", folders["text"])
    with pytest.raises(CredentialsError, match=r"was found as /.*/text/.* Make it executable") as caught:
        await Plugin("here", NAME, V1, install_hint="Get it from the team").run()
    assert "Get it" not in str(caught.value)


@pytest.mark.parametrize("command", ["a\0b", "/a\0b"])
async def test_a_name_that_no_file_can_have(command: str) -> None:
    with pytest.raises(CredentialsError, match="null character"):
        await Plugin("here", command, V1).run()
