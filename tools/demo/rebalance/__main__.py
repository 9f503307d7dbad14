"""Runs the rebalancing's demo on a control plane of its own: ``python -m tools.demo.rebalance``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import TextIO

from tools.demo.common.command import ended
from tools.demo.common.played import advise, parser, played, print_outcome
from tools.toolchain import ensure

from .check import Outcome
from .play import REBALANCE
from .scenario import LEAST_NODES, MOST_NODES, NODES, scenario
from .story import Story

DESCRIPTION = """\
Half-empty nodes are replaced by fewer ones: the planner empties the old ones once all new ones are Ready, the pod
pinner's webhook steers the pods to where the plan wants them, its leader is killed in the middle, and no workload
falls below its floor."""
EXAMPLES = """\
examples:
  ./taskw demo:rebalance                   start a control plane on loopback, show it all, remove everything
  ./taskw demo:rebalance -- --nodes 4      a small cluster: quicker, and 0.6 GB of memory instead of 1.5
  ./taskw demo:rebalance -- -o json        the checked outcome as JSON on standard output, the story on standard error
  ./taskw demo:rebalance -- --keep         leave the cluster running until Enter is pressed

exit codes: 0 the plan is carried out and no floor was broken, 1 it is not or something failed, 2 wrong usage,
            130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run. Returns the exit code."""
    options = parser(REBALANCE.command, DESCRIPTION, EXAMPLES, NODES, "how many nodes are replaced")
    arguments = options.parse_args(argv)
    if not LEAST_NODES <= arguments.nodes <= MOST_NODES:
        options.error(f"--nodes is a number from {LEAST_NODES} to {MOST_NODES}")
    return ended(lambda: run(arguments, sys.stderr))


def run(arguments: argparse.Namespace, stream: TextIO) -> int:
    """Run the demo. Returns the exit code."""
    ensure(["demo"])
    with played(
        REBALANCE,
        lambda cluster, stage: Story(cluster, stage, scenario(arguments.nodes)).tell(),
        lambda outcome: outcome.sentences,
        arguments,
        stream,
    ) as outcome:
        show_outcome(outcome, arguments.output, stream)
    return next_step(outcome, stream)


def next_step(outcome: Outcome, stream: TextIO) -> int:
    """Print the outcome and the next step. Returns the exit code."""
    hint = "a plan of your own: docs/guides/rebalancing.md; how it stands with one: moorage pins"
    return advise(outcome, REBALANCE.command, hint, stream)


def show_outcome(outcome: Outcome, output: str, stream: TextIO) -> None:
    """Print the floors of all Deployments, and the whole outcome as JSON if requested."""
    print_outcome(outcome, {**dataclasses.asdict(outcome), "left": outcome.left}, output, stream)


if __name__ == "__main__":
    sys.exit(main())
