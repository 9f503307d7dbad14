"""Small files that change while we run: tokens, certificates, CAs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from .access import CredentialsError

logger = logging.getLogger(__name__)

STAT_INTERVAL = 1.0
"""Seconds for which a file is not checked again. A check costs microseconds, but there are hundreds of requests."""

REREAD_INTERVAL = 60.0
"""Seconds after which a file is read again even if it looks unchanged, as in client-go's transport/token_source.go."""


class WatchedFile:
    """The content of a file. It is read again when the file changes, and at least every minute.

    The kubelet replaces projected files through a symbolic link, so the link is followed each time. If the file cannot
    be read, or is empty during a careless write, the last content stays in use and a warning is logged.

    Args:
        path: the file.
        field: the origin of the path, for messages: file, context and field.
        monotonic: seconds on a monotonic clock (for tests).
    """

    def __init__(self, path: Path, field: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._field = field
        self._monotonic = monotonic
        self._content = b""
        self._identity: tuple[int, ...] = ()
        self._looked_at = self._read_at = -REREAD_INTERVAL
        self._complained = False

    def read(self, *, now: bool = False) -> bytes:
        """Return the content. With ``now`` the file is checked even if that has just been done.

        Raises:
            CredentialsError: the file could never be read.
        """
        moment = self._monotonic()
        if now or not self._content or moment - self._looked_at >= STAT_INTERVAL:
            self._look(moment, must_read=now or moment - self._read_at >= REREAD_INTERVAL)
        return self._content

    def _look(self, moment: float, *, must_read: bool) -> None:
        self._looked_at = moment
        try:
            stat = os.stat(self.path)
            identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if identity == self._identity and not must_read and self._content:
                return
            content = self.path.read_bytes()
            if not content.strip():
                raise OSError("the file is empty")
        except OSError as error:
            self._fail(error)
            return
        except ValueError:
            self._fail(OSError("the path holds a null character"))
            return
        self._content, self._identity, self._read_at = content, identity, moment
        self._complained = False

    def _fail(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if not self._content:
            raise CredentialsError(
                f"{self._field}: cannot read {self.path}: {reason}. Check that the file exists, is not empty, "
                "and may be read by this user"
            ) from None
        if not self._complained:
            self._complained = True
            fields = {"file": str(self.path), "field": self._field, "error": reason}
            logger.warning("credential file unreadable, using its last content", extra=fields)


Material = bytes | WatchedFile
"""Inline content, or a file that may change."""


def content(material: Material, *, now: bool = False) -> bytes:
    """The current content of inline data or a file.

    Raises:
        CredentialsError: the file could never be read.
    """
    return material.read(now=now) if isinstance(material, WatchedFile) else material
