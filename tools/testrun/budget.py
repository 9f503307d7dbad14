"""The time budget of all tests, and their last measured times: `python -m tools.testrun.budget`.

Lint cannot measure, and a busy machine gives wrong figures. So a developer measures on an idle machine (`task test`,
then `task test:record`), and tests/durations.toml keeps the figures. `task lint` estimates the time of the current
tests from them: a suite with twice the tests counts twice. A suite that has grown by more than half, or is new, must be
measured.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.toolchain import manifest

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests/durations.toml"
LATEST = ROOT / "build/test-durations.toml"

WARM, COLD = 25.0, 75.0
"""Minutes on 2 cores: with built tools, and on a machine that has never used this repository."""
GROWTH = 1.5
_CORES = 2
_ONCE = 5.0
"""Minutes for everything else on a new machine: the Python environment, the image and its bases, downloads."""

_TEST = re.compile(r"^\s*(?:async )?def test_", re.MULTILINE)


class OverBudget(Exception):
    """The tests take too long, or their time is unknown. The text says what to do."""


@dataclass(frozen=True)
class Recorded:
    """Measured times.

    Attributes:
        whole: minutes of the whole run.
        minutes: by suite, over all processes.
        tests: by suite, number of test functions.
    """

    whole: float
    minutes: Mapping[str, float]
    tests: Mapping[str, int]


def main(arguments: Sequence[str]) -> int:
    """Check the recorded figures against the budget.

    Args:
        arguments: ``--record`` to record the figures of the last whole run first.

    Returns:
        The exit code.
    """
    try:
        if "--record" in arguments:
            RECORDED.write_text(_text(LATEST))
        warm, cold = check(read(RECORDED), suites(), building())
    except OverBudget as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    print(f"tests: about {warm:.0f} of {WARM:g} minutes, {cold:.0f} of {COLD:g} on a new machine")
    return 0


def check(recorded: Recorded, now: Mapping[str, int], built: float) -> tuple[float, float]:
    """Estimate the time of the current tests.

    Args:
        recorded: the recorded figures.
        now: by suite, number of test functions.
        built: minutes for building the tools.

    Returns:
        Minutes, warm and cold.

    Raises:
        OverBudget: too long, or the figures are too old for the current tests.
    """
    again = "measure on an idle machine: ./taskw test && ./taskw test:record"
    for name, count in now.items():
        if name not in recorded.tests:
            raise OverBudget(f"tests/{name} has no measured time; {again}")
        had = recorded.tests[name]
        if count > GROWTH * had:
            raise OverBudget(f"tests/{name} had {had} tests at the last measurement and has {count} now; {again}")
    then = sum(recorded.minutes.values())
    today = sum(recorded.minutes[name] * count / recorded.tests[name] for name, count in now.items())
    warm = recorded.whole * today / then
    cold = warm + built + _ONCE
    for minutes, limit, what in ((warm, WARM, "warm"), (cold, COLD, "on a new machine")):
        if minutes > limit:
            raise OverBudget(
                f"all of them take about {minutes:.0f} minutes {what} and may take {limit:g}: make some faster, let "
                f"some share a cluster, or run more of them side by side; then {again}"
            )
    return warm, cold


def suites() -> dict[str, int]:
    """Number of test functions by folder of tests/."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "tests").glob("*/**/test_*.py")):
        name = suite(str(path.relative_to(ROOT)))
        found[name] = found.get(name, 0) + len(_TEST.findall(path.read_text()))
    return found


def suite(nodeid: str) -> str:
    """The folder of tests/ that a test is in."""
    return next(iter(nodeid.partition("::")[0].split("/")[1:]), "")


def building() -> float:
    """Minutes for building every tool that tests run, from tools.yaml."""
    tools = manifest.load(ROOT / "tools/tools.yaml").tools.values()
    folders = {tool.folder.name: tool.folder.cost.cpu_seconds for tool in tools if tool.group != "bench"}
    return sum(folders.values()) / _CORES / 60


def read(path: Path) -> Recorded:
    """Read recorded figures.

    Args:
        path: written by ``write``.

    Raises:
        OverBudget: the file does not exist.
    """
    content = tomllib.loads(_text(path))
    minutes, tests = ({name: each[key] for name, each in content["suites"].items()} for key in ("minutes", "tests"))
    return Recorded(content["whole"], minutes, tests)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise OverBudget(f"{path} is missing: it is written when all tests have passed, by ./taskw test") from None


def write(path: Path, whole: float, minutes: Mapping[str, float], tests: Mapping[str, int]) -> None:
    """Write figures.

    Args:
        path: the file.
        whole: minutes of the whole run.
        minutes: by suite, over all processes.
        tests: by suite, test functions.
    """
    lines = [
        "# Minutes that all tests took on an idle machine of 2 cores, tools built; what each suite took over all",
        "# processes, and how many test functions it had. Written by `task test:record`, read by `task lint`.",
        f"whole = {whole:.1f}",
        "",
        "[suites]",
    ]
    lines += [f"{name} = {{ minutes = {minutes[name]:.2f}, tests = {tests[name]} }}" for name in sorted(minutes)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
