"""pytest's part in `task test`: how many suites run side by side, and what each took. Loaded with `-p`.

Files are dealt out to processes (pytest-xdist, `Folders`), and whole folders of those that need clusters: each
process has clusters of its own once a test asks for one, and a cluster that only waits costs a tenth of a core. Most
tests wait for a cluster most of the time, so there is one process more than there are cores.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tools.testrun import budget
from tools.testrun.groups import group, needs_clusters, shares
from tools.toolchain import host

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

MOST = 4
MIB_EACH = 4000
"""Memory of one process: its cluster, and one that a test owns besides."""
GO = {"GOMAXPROCS": "1", "GOGC": "400"}
"""What Go programs are told, those of clusters and Helm: where more processes run than there are cores, further threads
only look for work, and garbage that is collected seldom costs 200 MiB. A cluster's work takes a fifth less so."""
ASKS_FOR_FIGURES = (
    "tests/unit/tools/test_budget.py::"
    "test_every_suite_of_this_repository_is_counted_and_the_recorded_figures_are_within_the_budget"
)
"""Fails until somebody has measured: it must not keep them from that."""


def workers(cores: int, free_mib: int | None, environ: Mapping[str, str]) -> int:
    """How many processes run tests.

    Args:
        cores: of the machine.
        free_mib: memory that is free; None when nobody knows.
        environ: MOORAGE_TEST_WORKERS overrides.
    """
    if asked := environ.get("MOORAGE_TEST_WORKERS"):
        return int(asked)
    room = MOST if free_mib is None else free_mib // MIB_EACH
    return max(1, min(cores + 1, MOST, room))


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # before the plugin that asks for it
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means."""
    return workers(host.cores(), host.memory_mib(), os.environ)


class Folders(LoadScopeScheduling):  # type: ignore[misc]
    """Deals out what `groups.group` keeps together."""

    def _split_scope(self, nodeid: str) -> str:
        return group(PurePath(nodeid.partition("::")[0]).relative_to("tests"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Folders:
    """How tests are dealt out."""
    return Folders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long groups first, so that none of them is left for one process when the others are done."""
    files = {item: PurePath(item.nodeid.partition("::")[0]).relative_to("tests") for item in items}
    expected = shares(set(files.values()), _recorded())
    items.sort(key=lambda item: (not needs_clusters(files[item]), -expected[group(files[item])]))


def _recorded() -> Mapping[str, float]:
    try:
        return budget.read(budget.RECORDED).minutes
    except budget.OverBudget:  # nobody has measured yet
        return {}


def settle_go() -> None:
    """Tell Go programs that all processes start how to run, unless the user has."""
    for name, value in GO.items():
        os.environ.setdefault(name, value)


def pytest_configure(config: pytest.Config) -> None:
    """Measure where the reports of all processes come together."""
    settle_go()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(), "durations")


class Durations:
    """What the tests took."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up what the tests of each suite took."""
        self._seconds[budget.suite(report.nodeid)] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Keep the figures once everybody has had a say in how the run ended."""
        yield
        self.keep(session.exitstatus)

    def keep(self, status: int) -> None:
        """Keep the figures of a whole run that was green; `task test:record` makes them the recorded ones."""
        measured = budget.suites()
        green = status == pytest.ExitCode.OK or (
            status == pytest.ExitCode.TESTS_FAILED and self._failed == {ASKS_FOR_FIGURES}
        )
        if green and measured.keys() <= self._seconds.keys():
            minutes = {name: self._seconds[name] / 60 for name in measured}
            budget.write(budget.LATEST, (time.monotonic() - self._began) / 60, minutes, measured)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much of the budget a run took."""
        took = (time.monotonic() - self._began) / 60
        terminalreporter.write_line(f"took {took:.1f} minutes; all tests may take {budget.WARM:g}")
