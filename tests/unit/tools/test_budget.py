"""The time budget of all tests: the estimate, and when a new measurement is needed."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Literal

import pytest
from xdist import newhooks  # type: ignore[import-untyped]

from tools.localcluster.process import go_settings
from tools.testrun import budget, plugin
from tools.testrun.budget import OverBudget, Recorded
from tools.testrun.groups import group, shares

THEN = Recorded(whole=10.0, minutes={"unit": 5.0, "kube": 15.0}, tests={"unit": 100, "kube": 10})


@pytest.mark.parametrize(
    ("now", "warm"),
    [
        ({"unit": 100, "kube": 10}, 10.0),
        ({"unit": 120, "kube": 10}, 10.5),  # a fifth more of what is a quarter of the time
        ({"unit": 100, "kube": 12}, 11.5),
        ({"unit": 100, "kube": 5}, 6.25),
        ({"unit": 100}, 2.5),
    ],
)
def test_a_suite_counts_as_much_as_it_has_tests(now: dict[str, int], warm: float) -> None:
    assert list(budget.check(THEN, now, built=12.0)) == pytest.approx([warm, warm + 12.0 + 5.0])


@pytest.mark.parametrize(
    ("whole", "now", "built", "words"),
    [
        (10.0, {"unit": 100, "kube": 10, "new": 1}, 12.0, "tests/new has no measured time; measure on an idle machine"),
        (
            10.0,
            {"unit": 151, "kube": 10},
            12.0,
            "tests/unit had 100 tests at the last measurement and has 151",
        ),
        (25.1, {"unit": 100, "kube": 10}, 12.0, "about 25 minutes warm and may take 25"),
        (20.0, {"unit": 100, "kube": 14}, 12.0, "about 26 minutes warm and may take 25"),
        (20.0, {"unit": 100, "kube": 10}, 51.0, "about 76 minutes on a new machine and may take 75"),
    ],
)
def test_what_is_too_much_or_unknown_is_refused(whole: float, now: dict[str, int], built: float, words: str) -> None:
    with pytest.raises(OverBudget, match=words):
        budget.check(Recorded(whole, THEN.minutes, THEN.tests), now, built)


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    budget.write(tmp_path / "build/figures.toml", 10.0, THEN.minutes, THEN.tests)
    assert budget.read(tmp_path / "build/figures.toml") == THEN
    with pytest.raises(OverBudget, match="is missing"):
        budget.read(tmp_path / "other.toml")


def test_every_suite_of_this_repository_is_counted_and_the_recorded_figures_are_within_the_budget() -> None:
    now = budget.suites()
    folders = {path.name for path in (budget.ROOT / "tests").iterdir() if list(path.glob("**/test_*.py"))}
    assert now.keys() == folders
    assert all(now.values())
    assert budget.main([]) == 0


@pytest.mark.parametrize(
    ("nodeid", "suite"),
    [("tests/unit/tools/test_a.py::test_b[c/d]", "unit"), ("tests/kube/test_a.py::test_b", "kube"), ("test_a.py", "")],
)
def test_a_suite_is_a_folder_of_tests(nodeid: str, suite: str) -> None:
    assert budget.suite(nodeid) == suite


@pytest.mark.parametrize(
    ("cores", "free", "environ", "count"),
    [
        (2, 24_000, {}, 3),
        (2, 9_000, {}, 2),
        (2, 2_000, {}, 1),
        (1, 24_000, {}, 2),
        (64, 256_000, {}, 4),
        (2, None, {}, 3),
        (2, 2_000, {"MOORAGE_TEST_WORKERS": "7"}, 7),
    ],
)
def test_there_are_as_many_processes_as_cores_and_memory_bear(
    cores: int, free: int | None, environ: dict[str, str], count: int
) -> None:
    assert plugin.workers(cores, free, environ) == count


def test_groups_of_a_suite_share_what_it_took() -> None:
    files = [
        "kube/test_a.py",
        "kube/test_b.py",
        "e2e/test_a.py",
        "e2e/helm/test_a.py",
        "unit/test_a.py",
        "new/test_a.py",
    ]
    shared = shares(map(PurePath, files), {"kube": 9.0, "e2e": 20.0, "unit": 5.0})
    assert shared == {"kube": 9.0, "e2e": 10.0, "e2e/helm": 10.0, "unit/test_a.py": 5.0, "new/test_a.py": 0.0}


def test_pytest_asks_us_how_many(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `-n auto`; whichever plugin was loaded first."""
    monkeypatch.setenv("MOORAGE_TEST_WORKERS", "7")
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(newhooks)
    for name in ("tools.testrun.plugin", "xdist.plugin"):
        manager.import_plugin(name)
    assert manager.hook.pytest_xdist_auto_num_workers(config=pytestconfig) == 7


def test_go_programs_run_as_the_whole_run_settles_unless_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in plugin.GO:
        monkeypatch.setenv(name, "7")
    monkeypatch.delenv("GOMAXPROCS")
    plugin.settle_go()
    assert go_settings() == {"GOGC": "7", "GOMAXPROCS": plugin.GO["GOMAXPROCS"]}


def reported(nodeid: str, seconds: float, *, failed: bool = False) -> pytest.TestReport:
    outcome: Literal["passed", "failed"] = "failed" if failed else "passed"
    return pytest.TestReport(nodeid, (nodeid, 1, ""), {}, outcome, None, "call", duration=seconds)


@pytest.mark.parametrize(
    ("suites", "status", "kept"),
    [
        (("one", "two"), 0, True),
        (("one", "two"), 1, False),
        (("one", "two"), 2, False),
        (("one",), 0, False),
        ((), 5, False),
    ],
)
def test_only_a_green_run_of_all_suites_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suites: tuple[str, ...], status: int, kept: bool
) -> None:
    monkeypatch.setattr(budget, "LATEST", tmp_path / "latest.toml")
    monkeypatch.setattr(budget, "suites", lambda: {"one": 3, "two": 4})
    durations = plugin.Durations()
    for suite in suites:
        for seconds in (60.0, 30.0):
            durations.pytest_runtest_logreport(reported(f"tests/{suite}/test_a.py::test_b", seconds))
    durations.keep(status)
    assert budget.LATEST.exists() == kept
    if kept:
        found = budget.read(budget.LATEST)
        assert (found.minutes, found.tests) == ({"one": 1.5, "two": 1.5}, {"one": 3, "two": 4})


@pytest.mark.parametrize(
    ("failed", "kept"),
    [
        ((), False),  # nobody knows what went wrong
        ((plugin.ASKS_FOR_FIGURES,), True),
        (("tests/one/test_a.py::test_b",), False),
        ((plugin.ASKS_FOR_FIGURES, "tests/one/test_a.py::test_b"), False),
    ],
)
def test_what_asks_for_figures_does_not_keep_anybody_from_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: tuple[str, ...], kept: bool
) -> None:
    monkeypatch.setattr(budget, "LATEST", tmp_path / "latest.toml")
    monkeypatch.setattr(budget, "suites", lambda: {"one": 3, "unit": 4})
    durations = plugin.Durations()
    for suite in ("one", "unit"):
        durations.pytest_runtest_logreport(reported(f"tests/{suite}/test_c.py::test_d", 60.0))
    for nodeid in failed:
        durations.pytest_runtest_logreport(reported(nodeid, 1.0, failed=True))
    durations.keep(1)
    assert budget.LATEST.exists() == kept
    assert plugin.ASKS_FOR_FIGURES.rpartition("::")[2] in globals()


@pytest.mark.parametrize(
    ("path", "together"),
    [
        ("kube/test_access.py", "kube"),
        ("e2e/test_demo.py", "e2e"),
        ("e2e/helm/test_releases.py", "e2e/helm"),
        ("unit/kube/test_watch.py", "unit/kube/test_watch.py"),
        ("charts/test_pods.py", "charts/test_pods.py"),
    ],
)
def test_what_needs_clusters_of_its_own_stays_together(path: str, together: str) -> None:
    assert group(PurePath(path)) == together
