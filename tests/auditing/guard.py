"""Reads the audit logs of a run's clusters at its end. A request that was repeated for nothing fails the run.

A plugin of pytest. Clusters that end while the run goes on, in other processes too, leave their logs in a folder; the
log of one that goes on is read from where the run met it. Workers of pytest-xdist only collect, their starter judges.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.auditing.repeats import LIMIT, WITHIN, Repeat, repeated
from tools.auditlog import KEEP, AuditLost, Mark, files
from tools.auditlog.events import Event, read

if TYPE_CHECKING:
    from tools.localcluster import ClusterHandle

NAME = "audit-guard"
THIEF = "moorage-tests-thief"
"""User-Agent of a test that uses one of our tokens as an attacker."""
_OURS = re.compile(r"pod-pinner|moorage-planner|castai-evictor")
_SHOWN = 20


def is_ours(event: Event) -> bool:
    """Whether the account is a pinner's, planner's or evictor's: a chart's under any release, or a test's."""
    return _OURS.search(event.account) is not None and event.agent != THIEF


def watch(config: pytest.Config, cluster: ClusterHandle) -> None:
    """Read the audit log of a cluster that outlives this run from here on."""
    guard = config.pluginmanager.getplugin(NAME)
    if isinstance(guard, Guard):
        guard.watch(cluster)


class Guard:
    """The plugin, for one process."""

    def __init__(self, config: pytest.Config) -> None:
        self._judges = not hasattr(config, "workerinput")
        self._before = os.environ.get(KEEP)
        self._folder = Path(tempfile.mkdtemp(prefix="moorage-audit-") if self._judges else os.environ[KEEP])
        os.environ[KEEP] = str(self._folder)
        self._watched: dict[str, Mark] = {}
        self._report: list[str] = []

    def watch(self, cluster: ClusterHandle) -> None:
        """Read a cluster's log from here on."""
        self._watched.setdefault(cluster.name, Mark.now(cluster.audit_log))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """When all fixtures are gone."""
        for name, mark in self._watched.items():
            self._collect(name, mark)
        if not self._judges:
            return
        for folder in sorted(self._folder.iterdir()):
            self._report += judged(folder.name.rpartition("-")[0], _lines(folder))
        if self._report and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _collect(self, name: str, mark: Mark) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        try:
            with (folder / "audit.log").open("wb") as file:
                file.writelines(mark.lines())
        except (AuditLost, OSError) as error:
            self._report.append(f"cluster {name}: nobody can say what was asked of it: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report the findings."""
        if self._report:
            terminalreporter.section("requests repeated for nothing", red=True)
            for line in self._report:
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"the run has failed for this; audit logs are kept in {self._folder}")

    def pytest_unconfigure(self) -> None:
        """Remove the logs, unless there are findings."""
        if not self._judges:
            return
        if self._before is None:
            os.environ.pop(KEEP, None)
        else:
            os.environ[KEEP] = self._before
        if not self._report:
            shutil.rmtree(self._folder, ignore_errors=True)


def _lines(folder: Path) -> Iterator[bytes]:
    for path in files(folder / "audit.log"):
        with path.open("rb") as file:
            yield from file


def judged(cluster: str, lines: Iterable[bytes]) -> list[str]:
    """What the audit log of a cluster shows, for people; nothing when all is well.

    Args:
        cluster: its name.
        lines: of the log.
    """
    found = repeated(read(lines), is_ours)
    if not found:
        return []
    head = f"cluster {cluster}: more than {LIMIT} times in {WITHIN:g} s, and nobody else had changed the object"
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return [head, *chain.from_iterable(map(told, found[:_SHOWN])), *more]


def told(repeat: Repeat) -> list[str]:
    """A repeated request: what and how often, then who, when and with which answers."""
    asked = repeat.request
    kind = ".".join(filter(None, (asked.resource, asked.group)))
    kind = "/".join(filter(None, (kind, asked.subresource)))
    where = f" in {asked.namespace}" if asked.namespace else ""
    since = datetime.fromtimestamp(repeat.since, UTC).strftime("%H:%M:%S.%f")[:-3]
    codes = ", ".join(f"HTTP {code} {count} times" for code, count in repeat.codes.most_common())
    agents = ", ".join(repeat.agents) or "none"
    return [
        f"  {repeat.total:6} times ({repeat.most} in {WITHIN:g} s)  {asked.verb} {kind} {asked.name!r}{where}",
        f"         by {asked.account}{f', pod {asked.pod}' if asked.pod else ''}, user agent {agents}",
        f"         from {since} UTC for {repeat.until - repeat.since:.1f} s: {codes}",
    ]
