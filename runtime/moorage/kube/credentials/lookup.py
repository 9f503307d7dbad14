"""Finds the program of a plugin, or the reason why it cannot be started.

Follows Go's os/exec LookPath (lp_unix.go), as client-go does. The PATH is ours, not that of the plugin's variables. A
program in the current folder runs only if its name has a slash. The search is our own, because the system has one error
for two cases: a folder in PATH that may not be searched, and a program that may not be run.
"""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

INSTALL = "Install it, or correct exec.command"
ALLOW = "Make it executable, or correct exec.command"
CORRECT = "Correct exec.command"


class NoProgram(Exception):
    """No program can be started.

    Args:
        what: the reason, as the end of a sentence that begins with the program's name.
        way_out: what the user can do.
        absent: whether no program of this name exists, so that a hint how to install it helps.
    """

    def __init__(self, what: str, way_out: str, *, absent: bool = False) -> None:
        super().__init__(what)
        self.what, self.way_out, self.absent = what, way_out, absent


class _Look(Enum):
    RUNS = auto()
    ABSENT = auto()
    FOLDER = auto()
    REFUSED = auto()
    HIDDEN = auto()
    """A parent folder may not be searched, so the file may or may not exist."""


def find(command: str, path: str) -> str:
    """Find a program and return its path.

    Args:
        command: a name, or a path if it contains a slash.
        path: the folders to search, in the form of $PATH. Relative folders are ignored.

    Returns:
        The path of the program.

    Raises:
        NoProgram: no program was found that may be run.
        ValueError: the name contains a null character.
    """
    if "/" in command:
        look = _look(command)
        if look is _Look.RUNS:
            return command
        what, way_out = _FLAWS[look]
        raise NoProgram(what, way_out, absent=look is _Look.ABSENT)
    folders = [folder for folder in path.split(os.pathsep) if os.path.isabs(folder)]
    looks = {folder: _look(os.path.join(folder, command)) for folder in folders}
    result = {
        look: os.path.join(folder, command) for folder, look in reversed(looks.items())
    }  # the first one of each kind
    if _Look.RUNS in result:
        return result[_Look.RUNS]
    if _Look.REFUSED in result:
        raise NoProgram(f"was found as {result[_Look.REFUSED]}, which may not be run by us", ALLOW)
    hidden = ", ".join(folder for folder, look in looks.items() if look is _Look.HIDDEN)
    but = f" that we may search; we may not search {hidden}" if hidden else ""
    where = f"in any folder of PATH{but}" if folders else "because PATH names no folder"
    raise NoProgram(f"was not found {where}", INSTALL, absent=True)


_FLAWS = {
    _Look.ABSENT: ("was not found", INSTALL),
    _Look.FOLDER: ("is a folder", CORRECT),
    _Look.REFUSED: ("may not be run by us", ALLOW),
    _Look.HIDDEN: ("is in a folder that we may not search", "Allow that, or correct exec.command"),
}


def _look(path: str) -> _Look:
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return _Look.HIDDEN
    except OSError:
        return _Look.ABSENT
    if stat.S_ISDIR(mode):
        return _Look.FOLDER
    return _Look.RUNS if os.access(path, os.X_OK) else _Look.REFUSED
