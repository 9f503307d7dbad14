"""Kills pinner, planner and API server at random moments of the demo: the placement at the end must be the same.

``python -m tools.demo.moments [MOMENTS [SEED]]``: each moment is a demo of its own, on a new control plane.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.faults import moments as common
from tools.faults.moments import Moment, Played, Story
from tools.toolchain.guard import end, spawn

from .faults import VICTIMS
from .programs import ROOT
from .scenario import APPS, Replica, plan, shape
from .targets import kept_environment

__all__ = ["LATEST", "Moment", "Result", "choose", "expected", "main", "run"]

LATEST = 10.0
"""Seconds: what an undisturbed demo takes from the start of planner and pinner to its end, and a little more."""


@dataclass(frozen=True)
class Result:
    """What came of a run: its exit code, the placement's shape, and what it said."""

    code: int
    shape: Mapping[str, Mapping[str, int]]
    problems: Sequence[str]
    story: str


def choose(count: int, seed: int) -> list[Moment]:
    """Random moments, the victims in turn.

    Args:
        count: how many.
        seed: the same seed chooses the same moments.
    """
    return common.choose(count, seed, list(VICTIMS), LATEST)


def expected() -> dict[str, dict[str, int]]:
    """The placement that the plan means: pods of each app on each node."""
    pods = [
        Replica(app.name, "any", f"{app.name}-{index}", f"{app.name}-{index}", app.cpu)
        for app in APPS
        for index in range(app.replicas)
    ]
    placement = {pod.key: machine.name for machine in plan(pods) for pod in machine.pods}
    return shape(placement, {pod.key: pod.app for pod in pods})


def run(moment: Moment, environment: Mapping[str, str] | None = None) -> Result:
    """Play one demo with this fault.

    Args:
        moment: the fault, seconds after planner and pinner were started.
        environment: the demo's whole environment; what it needs of ours by default.
    """
    flags = ["-o", "json", "--kill", moment.victim, "--at", str(moment.at)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as story:
        demo = spawn(
            [sys.executable, "-m", "tools.demo", *flags],
            cwd=ROOT,
            env=environment or kept_environment(),
            stdout=output,
            stderr=story.fileno(),
        )
        try:
            code = demo.wait()
        finally:
            end(demo)
        output.seek(0)
        story.seek(0)
        outcome: dict[str, Any] = json.loads(output.read() or b"{}")
        said = story.read().decode(errors="replace")
    return Result(code, outcome.get("shape", {}), outcome.get("problems", []), said)


def main(argv: Sequence[str] | None = None) -> int:
    """Play all moments; 0 when every one ended in the plan's placement."""
    about, wanted = (__doc__ or "").partition("\n")[0], expected()

    def play(moment: Moment) -> Played:
        result = run(moment)
        return Played(result.code == 0 and result.shape == wanted, [result.story, *result.problems])

    story = Story("faults:pin", about, list(VICTIMS), LATEST, play, "the same placement", "DIFFERENT")
    return common.main(story, argv)


if __name__ == "__main__":
    sys.exit(main())
