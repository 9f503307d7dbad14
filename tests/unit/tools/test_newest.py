"""The choice of a second Python for the unit tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tools.testrun import newest


def python(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_newest_that_works_and_is_finished_is_taken(tmp_path: Path) -> None:
    python(tmp_path / "a/python3.12", "echo 3 12 9")
    python(tmp_path / "a/python3.13", "echo 3 13 0")
    python(tmp_path / "b/python3.13", "echo 3 13 2")
    python(tmp_path / "b/python3.14", "echo 'pyenv: python3.14: command not found' >&2; exit 127")
    python(tmp_path / "c/python3.14", "true")  # not finished, or without its lock
    python(tmp_path / "c/python3.99", "echo 3 99 0")
    python(tmp_path / "c/python3.13t", "echo 3 13 9")
    python(tmp_path / "c/python3.13-config", "echo 3 13 9")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/python3.14").write_text("no program")
    path = os.pathsep.join(str(tmp_path / each) for each in "abcde")
    paths = list(newest.candidates({"PATH": f"relative:{path}", "HOME": str(tmp_path)}))
    ours = [each for each in paths if each.is_relative_to(tmp_path)]
    found = newest.newest(ours, above=11)
    assert found == newest.Python((3, 13, 2), tmp_path / "b/python3.13")
    assert str(found) == f"Python 3.13.2 ({tmp_path}/b/python3.13)"
    assert newest.newest(ours, above=13) is None


@pytest.mark.parametrize("place", ["own/versions/3.13.1/bin", "home/.local/share/uv/python/cpython-3.13/bin"])
def test_pythons_that_are_not_on_path_are_found_where_they_are_kept(tmp_path: Path, place: str) -> None:
    kept = python(tmp_path / place / "python3.13", "echo 3 13 1")
    environ = {"HOME": str(tmp_path / "home"), "PYENV_ROOT": str(tmp_path / "own")}
    assert kept in newest.candidates(environ)
    assert kept not in newest.candidates({})


def test_a_machine_without_another_one_says_so_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(newest, "candidates", lambda _environ: [])
    assert newest.main([]) == 0
    assert "none newer than 3." in capsys.readouterr().out


def test_the_tests_run_in_an_environment_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = python(tmp_path / "python3.14", "echo 3 14 0")
    monkeypatch.setattr(newest, "candidates", lambda _environ: [found])
    monkeypatch.setattr(sys, "version_info", (3, 11, 0, "final", 0))
    called: list[tuple[Path, list[str], dict[str, str]]] = []
    monkeypatch.setattr(newest, "_become", lambda *given: called.append(given))
    newest.main(["-k", "a b"])
    [(program, arguments, environ)] = called
    assert program == newest.ROOT / "taskw"
    assert arguments[1:] == ["test:unit", "--", "-k", "a b"]
    assert environ["MOORAGE_PYTHON"] == str(found)
    assert environ["MOORAGE_VENV"] == str(newest.ROOT / "build/venv-3.14")
