"""Kills pinner, planner and API server at random moments of the demo: the placement at the end must be the same.

``python -m tools.demo.moments [MOMENTS [SEED]]``: each moment is a demo of its own, on a new control plane.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.toolchain.guard import end, interrupt_with_parent, spawn

from .events import Mark
from .faults import VICTIMS
from .programs import ROOT
from .scenario import APPS, Replica, plan, shape
from .screen import print_line
from .targets import kept_environment

MOMENTS = 20
LATEST = 10.0
"""Seconds: what an undisturbed demo takes from the start of planner and pinner to its end, and a little more."""


@dataclass(frozen=True)
class Moment:
    """One run: whom to kill, and when (seconds after planner and pinner were started)."""

    victim: str
    at: float


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
    chance = random.Random(seed)
    victims = list(VICTIMS)
    return [Moment(victims[index % len(victims)], round(chance.uniform(0, LATEST), 2)) for index in range(count)]


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
        moment: the fault.
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
    parser = argparse.ArgumentParser(prog="./taskw faults:pin --", description=__doc__)
    parser.add_argument("moments", nargs="?", type=int, default=MOMENTS, help="how many (%(default)s)")
    parser.add_argument("seed", nargs="?", type=int, help="of the random moments; a new one by default")
    arguments = parser.parse_args(argv)
    if arguments.moments < 1:
        parser.error("at least one moment")
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    interrupt_with_parent()
    try:
        return _all(choose(arguments.moments, seed), seed)
    except KeyboardInterrupt:
        print_line(sys.stderr, "interrupted", Mark.BAD)
        return 130


def _all(moments: Sequence[Moment], seed: int) -> int:
    wanted, failed = expected(), 0
    print_line(sys.stdout, f"{len(moments)} moments, seed {seed}")
    for index, moment in enumerate(moments, 1):
        result = run(moment)
        good = result.code == 0 and result.shape == wanted
        failed += not good
        name = f"{index:3} of {len(moments)}: {moment.victim} killed at {moment.at:5.2f} s"
        print_line(sys.stdout, f"{name}: {'same placement' if good else 'DIFFERENT'}", Mark.GOOD if good else Mark.BAD)
        if not good:
            print(result.story, *result.problems, sep="\n", flush=True)
    print_line(sys.stdout, f"{len(moments) - failed} of {len(moments)} ended in the same placement (seed {seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
