"""The error that users of the local cluster see."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """An operation of the local cluster failed. The message names the thing, the reason and the way out.

    `logs` is the folder with the log files of the failed cluster, if there is one.
    """

    def __init__(self, message: str, logs: Path | None = None) -> None:
        super().__init__(message)
        self.logs = logs

    def logs_moved(self, old: Path, new: Path) -> None:
        """Replaces the folder of the logs in the message after a move."""
        self.args = (str(self).replace(str(old), str(new)),)
        self.logs = new


class PortTaken(ClusterError):
    """A component exited because another process took its port between the choice and the bind."""
