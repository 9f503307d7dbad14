"""Creates the Python environment of the checkout. `taskw` runs it with any Python of the machine.

Standard library only. Run as `python -m tools.toolchain.bootstrap ROOT VENV STAMP`. The stamp is written last: an
environment without it is created again from the start, so kill -9 costs only time. A file lock makes a second `taskw`
wait for the first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.toolchain import guard, host
from tools.toolchain.errors import ToolError
from tools.toolchain.locks import locked

STAMP = ".moorage-stamp"
UNFINISHED = "unfinished"
NEEDED_MIB = 700
HEARTBEAT_SECONDS = 15.0


def main(arguments: Sequence[str]) -> int:
    """Create the environment. Every failure is one line on standard error.

    Args:
        arguments: checkout, environment folder, and the stamp to write at the end.

    Returns:
        The exit code: 0 done, 1 failed, 130 interrupted.
    """
    root, venv, stamp = Path(arguments[0]), Path(arguments[1]), arguments[2]
    guard.interrupt_with_parent()
    try:
        make(root, venv, stamp)
    except ToolError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run it again to go on")
        return 130
    except OSError as error:
        say(
            f"{error.filename or venv}: {error.strerror}; "
            "make room or rights there, or set MOORAGE_VENV to another folder"
        )
        return 1
    return 0


def make(root: Path, venv: Path, stamp: str) -> None:
    """Install the requirements of requirements/dev.txt, under the lock.

    Args:
        root: the checkout.
        venv: folder of the environment.
        stamp: text that identifies the requirements.

    Raises:
        ToolError: the folder is not writable or belongs to another user, something is missing, or an
            installation failed.
    """
    prepare_folder(root, venv)
    with locked(venv / ".moorage-lock", say, f"making {venv}"):
        if _read(venv / STAMP) == stamp and (venv / "bin/task").exists() and (venv / "bin/python").exists():
            return  # another taskw has created it meanwhile
        if (free := host.free_mib(venv)) < NEEDED_MIB:
            raise ToolError(
                f"the Python environment needs {NEEDED_MIB} MiB of disk and {venv} has {free}; "
                "make room or set MOORAGE_VENV to another folder"
            )
        say(f"making the Python environment in {venv} (about half a minute, downloads up to 200 MB)")
        uv = find_uv(root)
        start_over(venv, root / ".venv")
        run([uv, "venv", "--quiet", "--allow-existing", "--no-project", "--python", sys.executable, str(venv)], root)
        pip = [uv, "pip"]
        python = ["--python", str(venv / "bin/python")]
        run([*pip, "sync", *python, "--require-hashes", "requirements/dev.txt"], root)
        run([*pip, "install", *python, "--no-deps", "--no-build-isolation", "-e", "runtime"], root)
        (venv / STAMP).write_text(stamp)


def prepare_folder(root: Path, venv: Path) -> None:
    """Check that the environment's folder exists and is writable.

    Args:
        root: the checkout, for the message.
        venv: folder of the environment.

    Raises:
        ToolError: it is not writable.
    """
    try:
        venv.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(
            f"cannot make {venv} ({error.strerror}); where the checkout {root} is read-only "
            "set MOORAGE_VENV to a folder you can write"
        ) from None
    if not os.access(venv, os.W_OK):
        raise ToolError(f"{venv} is read-only for you; set MOORAGE_VENV to a folder you can write")


def start_over(venv: Path, default: Path) -> None:
    """Record that work has begun, and remove the packages of an unfinished attempt.

    A package that was partly installed when its installer was killed looks complete to the next installer. So the
    libraries of an unfinished environment are removed.

    Args:
        venv: folder of the environment.
        default: the checkout's own `.venv`, which taskw always owns.

    Raises:
        ToolError: MOORAGE_VENV names an environment that `taskw` did not create.
    """
    stamp = venv / STAMP
    if (venv / "pyvenv.cfg").exists() and _read(stamp) in ("", UNFINISHED):
        if not stamp.exists() and venv.resolve() != default.resolve():
            raise ToolError(f"MOORAGE_VENV={venv} is an environment that taskw did not make; name another folder")
        shutil.rmtree(venv / "lib", ignore_errors=True)
    stamp.write_text(UNFINISHED)


def find_uv(root: Path) -> str:
    """Find uv on PATH, else install the pinned one into the user's cache.

    Args:
        root: the checkout (requirements/bootstrap.txt).

    Returns:
        Path of the executable.

    Raises:
        ToolError: it has to be installed and there is no pip, or the installation failed.
    """
    if on_path := shutil.which("uv"):
        return on_path
    requirements = root / "requirements/bootstrap.txt"
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    target = host.cache_dir() / f"bootstrap-{key}"
    uv = target / "bin" / "uv"
    if not uv.exists():
        say(f"installing uv into {target}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=target.parent) as scratch:
            pip = find_pip(Path(scratch), root)
            new = Path(scratch) / "new"
            options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
            run([*pip, "install", *options, "--target", str(new), "-r", str(requirements)], root)
            publish(new, target)
    return str(uv)


def find_pip(scratch: Path, root: Path) -> list[str]:
    """Find a pip: this Python's own, else one in a temporary environment.

    Args:
        scratch: folder for that environment.
        root: working folder for the commands.

    Returns:
        The command without the verb.

    Raises:
        ToolError: this Python has neither pip nor ensurepip.
    """
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("ensurepip"):
        run([sys.executable, "-m", "venv", str(scratch / "venv")], root)
        return [str(scratch / "venv/bin/python"), "-m", "pip"]
    version = sys.version.split()[0]
    raise ToolError(
        f"Python {version} ({sys.executable}) has neither pip nor ensurepip, and uv is not on PATH; get one of them: "
        "apt install python3-venv, dnf install python3-pip, apk add py3-pip, or uv >= 0.5 from your system"
    )


def publish(new: Path, target: Path) -> None:
    """Move a finished folder to its place in one step. If another run was faster, its folder stays.

    Args:
        new: the finished folder.
        target: its place.
    """
    try:
        new.rename(target)
    except OSError:
        if not target.exists():
            raise


def run(command: Sequence[str], cwd: Path) -> None:
    """Run an installer. A terminal shows its progress; other outputs get a line every 15 s, and its output on failure.

    Args:
        command: program and arguments.
        cwd: its working folder.

    Raises:
        ToolError: it failed. The text has the last lines of its output.
    """
    terminal = sys.stderr.isatty()
    with tempfile.TemporaryFile() as log:
        process = guard.spawn(command, cwd=cwd, env=os.environ, stdout=sys.stderr.fileno() if terminal else log)
        waited = 0.0
        try:
            while True:
                try:
                    code = process.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    waited += HEARTBEAT_SECONDS
                    if not terminal:
                        say(f"still running after {waited:.0f} s: {' '.join(command[:3])}")
        finally:
            guard.end(process)
        if code:
            log.seek(0)
            tail = log.read().decode(errors="replace").strip().splitlines()[-20:]
            raise ToolError(
                "\n".join(
                    [*tail, f"{' '.join(command[:3])} failed (exit code {code}); the lines above say why. Run it again"]
                )
            )


def say(text: str) -> None:
    """Print a line for the user.

    Args:
        text: the sentence.
    """
    sys.stderr.write(f"taskw: {text}\n")
    sys.stderr.flush()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
