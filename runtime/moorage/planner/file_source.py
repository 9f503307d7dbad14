"""A plan file as a source: a valid new version replaces the plan, and an invalid one is only reported."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from moorage.files.mistakes import FileMistakes, Mistake
from moorage.files.yamlfile import MAX_BYTES
from moorage.ops.slices import aside

from . import planfile
from .plan import Plan
from .source import Served, Unusable

_LARGE = 1 << 13
"""Bytes of a plan from which on it takes milliseconds to read."""
POLL_SECONDS = 1.0
"""Seconds between two checks of the file. A mounted ConfigMap is updated only after a minute anyway."""
OFF = (
    "a plan of kind rebalance has pods evicted, and that is switched off: set rebalancing.enabled of the chart, or "
    "MOORAGE_REBALANCING"
)
"""The error for a plan of kind rebalance where such plans are switched off."""


class PlanFile:
    """Watches one plan file; a ``Source`` of whole plans.

    Args:
        path: the file.
        rebalancing: whether plans of kind rebalance are accepted.
    """

    def __init__(self, path: Path, *, rebalancing: bool = True) -> None:
        self._path, self._rebalancing = path, rebalancing
        self._seen: tuple[int, ...] = ()
        self._digest = ""

    def load(self) -> Plan:
        """Read the file now.

        Raises:
            FileMistakes: the file is not a valid plan; every mistake has its line.
        """
        plan = self.changed()
        assert plan is not None  # noqa: S101 - nothing was seen before
        return plan

    async def changes(self) -> AsyncGenerator[Served | Unusable, None]:
        """Yield the plan, and again after each change of the file."""
        while True:
            try:
                plan = await self._look()
            except FileMistakes as error:
                yield Unusable(error)
            else:
                if plan is not None:
                    yield Served(plan)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> Plan | None:
        """As ``changed``. A large plan is read in a thread: pinners would miss heartbeats for seconds."""
        data = self._content()
        if data is None:
            return None
        return self._read(data) if len(data) < _LARGE else await aside(self._read, data)

    def changed(self) -> Plan | None:
        """The plan, if the file has changed since the last check; else None.

        Raises:
            FileMistakes: the file has changed and is not a valid plan. Raised once for each such version.
        """
        data = self._content()
        return self._read(data) if data is not None else None

    def _content(self) -> bytes | None:
        """The content of the file, if it is another one than at the last check; else None.

        Raises:
            FileMistakes: the file cannot be read any more.
        """
        try:
            status = os.stat(self._path)
            seen: tuple[int, ...] = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return None
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            seen = (error.errno or 0,)
            if seen == self._seen:
                return None
            self._seen, self._digest = seen, ""
            raise FileMistakes(str(self._path), [Mistake(0, f"cannot be read: {error.strerror or error}")]) from error
        self._seen = seen
        digest = hashlib.sha256(data).hexdigest()
        if digest == self._digest:
            return None
        self._digest = digest
        return data

    def _read(self, data: bytes) -> Plan:
        plan = planfile.read(str(self._path), data)
        if plan.rebalance is not None and not self._rebalancing:
            raise FileMistakes(str(self._path), [Mistake(0, OFF)])
        return plan
