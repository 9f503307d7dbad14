"""The pytest plugin of `task test`: the number of processes, and the time of each suite. Loaded with `-p`.

It distributes files to processes (pytest-xdist, `Folders`), and whole folders of tests that need clusters: each process
starts its own clusters when a test needs one, and an idle cluster uses a tenth of a core. Most tests wait for a cluster
most of the time, so there is one process more than there are cores.
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
"""Memory of a process: its cluster, and one that a test owns."""
GO = {"GOMAXPROCS": "1", "GOGC": "400"}
"""Settings of Go's runtime for clusters and Helm. With more processes than cores, more threads only look for work, and
rare garbage collections cost 200 MiB. A cluster uses a fifth less CPU with these settings."""
ASKS_FOR_FIGURES = (
    "tests/unit/tools/test_budget.py::"
    "test_every_suite_of_this_repository_is_counted_and_the_recorded_figures_are_within_the_budget"
)
"""This test fails until the times are measured, so it must not prevent the measurement."""


def workers(cores: int, free_mib: int | None, environ: Mapping[str, str]) -> int:
    """The number of processes that run tests.

    Args:
        cores: of the machine.
        free_mib: free memory, or None if unknown.
        environ: MOORAGE_TEST_WORKERS overrides.
    """
    if chosen := environ.get("MOORAGE_TEST_WORKERS"):
        return int(chosen)
    room = MOST if free_mib is None else free_mib // MIB_EACH
    return max(1, min(cores + 1, MOST, room))


@pytest.hookimpl(optionalhook=True, tryfirst=True)  # before the plugin that uses it
def pytest_xdist_auto_num_workers() -> int:
    """The number of processes of `-n auto`."""
    return workers(host.cores(), host.memory_mib(), os.environ)


class Folders(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of a `groups.group` in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group(PurePath(nodeid.partition("::")[0]).relative_to("tests"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Folders:
    """The scheduler of tests."""
    return Folders(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long groups first, so that no process runs one alone at the end."""
    files = {item: PurePath(item.nodeid.partition("::")[0]).relative_to("tests") for item in items}
    expected = shares(set(files.values()), _recorded())
    items.sort(key=lambda item: (not needs_clusters(files[item]), -expected[group(files[item])]))


def _recorded() -> Mapping[str, float]:
    try:
        return budget.read(budget.RECORDED).minutes
    except budget.OverBudget:  # not measured yet
        return {}


def settle_go() -> None:
    """Set Go's runtime settings for all processes, unless the user has set them."""
    for name, value in GO.items():
        os.environ.setdefault(name, value)


def pytest_configure(config: pytest.Config) -> None:
    """Measure in the process that receives the reports of all others."""
    settle_go()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(), "durations")


class Durations:
    """The times of the tests."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds: dict[str, float] = defaultdict(float)
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the time of the tests of each suite."""
        self._seconds[budget.suite(report.nodeid)] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Write the figures after all other plugins have decided on the exit status."""
        yield
        self.keep(session.exitstatus)

    def keep(self, status: int) -> None:
        """Write the figures of a whole successful run. `task test:record` records them."""
        measured = budget.suites()
        green = status == pytest.ExitCode.OK or (
            status == pytest.ExitCode.TESTS_FAILED and self._failed == {ASKS_FOR_FIGURES}
        )
        if green and measured.keys() <= self._seconds.keys():
            minutes = {name: self._seconds[name] / 60 for name in measured}
            budget.write(budget.LATEST, (time.monotonic() - self._began) / 60, minutes, measured)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the time of the run and the budget."""
        took = (time.monotonic() - self._began) / 60
        terminalreporter.write_line(f"took {took:.1f} minutes; all tests may take {budget.WARM:g}")
