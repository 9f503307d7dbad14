"""The creation of the Python environment with a fake uv, and taskw itself with an existing environment."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.tools.conftest import script
from tools.toolchain import ToolError, bootstrap, host
from tools.toolchain.cache import ROOT

# Makes what uv would, as far as we look, and notes how it was called.
FAKE_UV = """#!/bin/sh
echo "$*" >> "$FAKE_UV_CALLS"
case "$*" in *"${FAKE_UV_FAILS:-nothing}"*) echo "no such package"; exit 2 ;; esac
case $1 in
venv) for last; do :; done; mkdir -p "$last/bin" "$last/lib"; touch "$last/pyvenv.cfg" "$last/bin/python" ;;
pip) if [ "$2" = sync ]; then bin=${4%/*}; touch "$bin/task" "${bin%/*}/lib/package"; fi ;;
esac
exit 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    return root


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin/uv", FAKE_UV)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_UV_CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def verbs(calls: Path) -> list[str]:
    return [" ".join(line.split()[:2]) for line in calls.read_text().splitlines()]


def test_environment_is_made_once_and_stamped_last(root: Path, calls: Path) -> None:
    venv = root / ".venv"
    bootstrap.make(root, venv, "stamp 1")
    assert verbs(calls) == ["venv --quiet", "pip sync", "pip install"]
    assert "--require-hashes" in calls.read_text().splitlines()[1]
    assert (venv / bootstrap.STAMP).read_text() == "stamp 1"
    calls.write_text("")
    bootstrap.make(root, venv, "stamp 1")
    assert calls.read_text() == ""
    bootstrap.make(root, venv, "stamp 2")
    assert (venv / bootstrap.STAMP).read_text() == "stamp 2"


def test_failure_tells_why_and_the_next_run_starts_over(
    root: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = root / ".venv"
    monkeypatch.setenv("FAKE_UV_FAILS", "pip install")
    with pytest.raises(ToolError, match=r"no such package\n.*uv pip install failed \(exit code 2\)"):
        bootstrap.make(root, venv, "stamp")
    assert (venv / bootstrap.STAMP).read_text() == bootstrap.UNFINISHED
    half = venv / "lib" / "half-installed"
    half.touch()
    monkeypatch.delenv("FAKE_UV_FAILS")
    bootstrap.make(root, venv, "stamp")
    assert not half.exists()
    assert (venv / "lib" / "package").exists()
    assert (venv / bootstrap.STAMP).read_text() == "stamp"


def test_somebody_elses_environment_is_not_touched(root: Path, calls: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "lib").mkdir(parents=True)
    (other / "pyvenv.cfg").touch()
    with pytest.raises(ToolError, match=r"MOORAGE_VENV=.*other is an environment that taskw did not make"):
        bootstrap.make(root, other, "stamp")
    assert (other / "lib").exists()
    assert not (other / bootstrap.STAMP).exists()
    assert not calls.exists()


def test_folder_that_cannot_be_made_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolError, match=r"cannot make .*file/venv \(Not a directory\).*set MOORAGE_VENV"):
        bootstrap.prepare_folder(root, tmp_path / "file" / "venv")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_read_only_folder_is_named(root: Path) -> None:
    (root / ".venv").mkdir(mode=0o500)
    with pytest.raises(ToolError, match="read-only for you; set MOORAGE_VENV"):
        bootstrap.prepare_folder(root, root / ".venv")


def test_full_disk_is_named(root: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "free_mib", lambda _path: 12)
    with pytest.raises(ToolError, match=r"needs 700 MiB of disk and .* has 12; make room or set MOORAGE_VENV"):
        bootstrap.make(root, root / ".venv", "stamp")


def test_without_pip_and_ensurepip_the_way_out_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ToolError, match=r"neither pip nor ensurepip, .*apt install python3-venv"):
        bootstrap.find_pip(tmp_path, root)


def test_faster_neighbour_wins(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    bootstrap.publish(tmp_path / "mine", tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["theirs"]


# taskw itself


@pytest.fixture
def taskw(tmp_path: Path) -> Path:
    """A copy of taskw in a checkout with an environment that looks complete, whose `task` prints its arguments."""
    root = tmp_path / "repo"
    (root / "requirements").mkdir(parents=True)
    (root / "runtime").mkdir()
    (root / "requirements/dev.txt").write_text("a==1\n")
    (root / "runtime/pyproject.toml").write_text("[project]\n")
    shutil.copy(ROOT / "taskw", root / "taskw")
    shutil.copytree(ROOT / "tools/toolchain", root / "tools/toolchain", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools/__init__.py").touch()
    binaries = root / ".venv/bin"
    binaries.mkdir(parents=True)
    script(binaries / "python", "#!/bin/sh\n")
    script(binaries / "task", '#!/bin/sh\necho "task $*"; command -v task; echo "$VIRTUAL_ENV"; exit 3\n')
    sums = subprocess.run(
        ["cksum", "requirements/dev.txt", "runtime/pyproject.toml"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (root / ".venv/.moorage-stamp").write_text(f"{root} {root / '.venv'} {sums}")
    return root / "taskw"


def run(taskw: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [taskw, *arguments],
        env={"PATH": "/usr/bin:/bin", **environ},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_made_environment_is_used_in_silence(taskw: Path) -> None:
    answer = run(taskw, "demo", "--", "a  b")
    venv = taskw.parent / ".venv"
    called = f"task --exit-code --dir {taskw.parent} demo -- a  b"
    assert answer.stdout.splitlines() == [called, f"{venv}/bin/task", str(venv)]
    assert answer.returncode == 3
    assert answer.stderr == ""


def test_without_arguments_tasks_are_listed(taskw: Path) -> None:
    assert run(taskw).stdout.splitlines()[0].endswith(" --list")


def test_changed_requirements_are_noticed(taskw: Path, tmp_path: Path) -> None:
    (taskw.parent / "requirements/dev.txt").write_text("a==2\n")
    (tmp_path / "bin").mkdir()
    uv = script(tmp_path / "bin/uv", FAKE_UV)
    python = Path(sys.executable).parent
    environ = {"FAKE_UV_CALLS": str(tmp_path / "calls"), "PATH": f"{uv.parent}:{python}:/usr/bin:/bin"}
    first = run(taskw, "demo", **environ)
    assert "taskw: making the Python environment in" in first.stderr
    assert (tmp_path / "calls").read_text().count("pip sync") == 1
    assert run(taskw, "demo", **environ).stderr == ""


def test_machine_without_python_gets_one_line(taskw: Path, tmp_path: Path) -> None:
    (taskw.parent / ".venv/.moorage-stamp").unlink()
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("sh", "cksum", "cat", "dirname", "head"):
        found = shutil.which(name)
        assert found
        (bare / name).symlink_to(found)
    answer = run(taskw, "demo", PATH=str(bare))
    assert answer.returncode == 1
    assert answer.stderr.startswith("taskw: Python 3.11 or newer is needed and not on PATH. Get it")
    assert len(answer.stderr.splitlines()) == 1
    script(bare / "python3", '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    answer = run(taskw, "demo", PATH=str(bare))
    assert f"not on PATH; {bare}/python3 is Python 3.9.2. Get it" in answer.stderr


def test_the_python_that_is_named_is_taken_and_another_name_makes_the_environment_anew(
    taskw: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    uv = script(tmp_path / "bin/uv", FAKE_UV)
    named = {
        "FAKE_UV_CALLS": str(tmp_path / "calls"),
        "PATH": f"{uv.parent}:/usr/bin:/bin",
        "MOORAGE_PYTHON": sys.executable,
    }
    assert "taskw: making the Python environment in" in run(taskw, "demo", **named).stderr
    assert f"--python {sys.executable}" in (tmp_path / "calls").read_text()
    assert run(taskw, "demo", **named).stderr == ""
    answer = run(taskw, "demo", **{**named, "MOORAGE_PYTHON": "/no/such python"})
    assert answer.stderr == (
        "taskw: MOORAGE_PYTHON=/no/such python is no Python >= 3.11. Name another one, or unset it.\n"
    )
    assert answer.returncode == 1


def test_installer_output_is_a_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(ToolError) as caught:
        bootstrap.run(["sh", "-c", "seq 100; exit 4"], tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[:20] == [str(number) for number in range(81, 101)]
    assert lines[20].startswith("sh -c seq 100; exit 4 failed (exit code 4)")
