"""The one error a user of the local cluster meets."""

from __future__ import annotations

from pathlib import Path


class ClusterError(Exception):
    """Something about the local cluster failed; the message names the thing, the reason and the way out.

    `logs` is the folder that holds the log files of the failed cluster, when there is one.
    """

    def __init__(self, message: str, logs: Path | None = None) -> None:
        super().__init__(message)
        self.logs = logs

    def logs_moved(self, old: Path, new: Path) -> None:
        """Makes the message name the place where the logs are now."""
        self.args = (str(self).replace(str(old), str(new)),)
        self.logs = new


class PortTaken(ClusterError):
    """A component ended because another process took its port between our choice and its bind."""
