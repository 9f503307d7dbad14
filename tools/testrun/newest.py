"""Runs the unit tests on the newest Python of this machine: `python -m tools.testrun.newest [PYTEST ARGUMENTS]`.

The whole test run uses the Python that `taskw` finds, normally the system's. Both together cover the ends of the
supported range.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).parents[2]
LAST = 14
"""The last minor version of Python 3 for which all dependencies have wheels (`task image:check`)."""

_NAME = re.compile(r"python3\.(\d+)")
_PATIENCE = 20.0
# Prints a line only for a finished release with the GIL. Shims of pyenv exist also for Pythons that are not enabled.
_PROBE = """
import sys, sysconfig
v = sys.version_info
if v.releaselevel == "final" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print(v.major, v.minor, v.micro)
"""


class Python(NamedTuple):
    """A Python that works.

    Attributes:
        version: major, minor, patch.
        path: of its program.
    """

    version: tuple[int, ...]
    path: Path

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


def main(arguments: list[str]) -> int:
    """Run the tests, or say why there is nothing to run.

    Args:
        arguments: for pytest.

    Returns:
        The exit code, unless this process becomes pytest.
    """
    here = sys.version_info[:3]
    found = newest(candidates(os.environ), above=here[1])
    if found is None:
        print(
            f"unit tests on a newer Python: this machine has none newer than {'.'.join(map(str, here))}; nothing to do"
        )
        return 0
    print(f"unit tests on {found}", flush=True)
    environ = {
        **os.environ,
        "MOORAGE_PYTHON": str(found.path),
        "MOORAGE_VENV": str(ROOT / f"build/venv-3.{found.version[1]}"),
    }
    return _become(ROOT / "taskw", ["taskw", "test:unit", "--", *arguments], environ)


def _become(program: Path, arguments: list[str], environ: Mapping[str, str]) -> NoReturn:
    os.execve(program, arguments, environ)  # noqa: S606 - no shell is wanted


def candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Programs with the name of a Python in the usual folders. Not all of them work.

    Args:
        environ: PATH, HOME and PYENV_ROOT.
    """
    home = Path(environ.get("HOME", "/nonexistent"))
    pyenv = Path(environ.get("PYENV_ROOT", home / ".pyenv"))
    folders = [Path(each) for each in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(each)]
    folders += [Path("/usr/local/bin"), Path("/usr/bin")]
    for base, kept in (
        (pyenv, "versions/*/bin"),
        (home, ".local/share/uv/python/*/bin"),
        (Path("/opt"), "python*/bin"),
    ):
        folders += _listed(base, kept)
    for folder in dict.fromkeys(folders):
        yield from (path for path in _listed(folder, "python3.*") if _NAME.fullmatch(path.name))


def _listed(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:  # not readable
        return []


def newest(paths: Iterable[Path], *, above: int) -> Python | None:
    """The newest Python that works.

    Args:
        paths: programs named `python3.<minor>`.
        above: the minor version that it must exceed.
    """
    minors: dict[int, list[Path]] = {}
    for path in paths:
        if (match := _NAME.fullmatch(path.name)) and above < int(match[1]) <= LAST:
            minors.setdefault(int(match[1]), []).append(path)
    for minor in sorted(minors, reverse=True):
        working = [found for path in minors[minor] if (found := _probed(path))]
        if working:
            return max(working, key=lambda found: found.version)
    return None


def _probed(path: Path) -> Python | None:
    command = [str(path), "-I", "-c", _PROBE]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode or not answer.stdout.strip():
        return None
    return Python(tuple(int(part) for part in answer.stdout.split()), path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
