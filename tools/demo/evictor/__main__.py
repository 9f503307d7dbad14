"""Runs the evictor's demo on a control plane of its own: ``python -m tools.demo.evictor``."""

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
from .play import EVICTOR
from .scenario import LEAST_NODES, NODES
from .story import Story

MOST_NODES = 99
"""Node names have two digits, and one processor can simulate this many nodes."""
TOOLS = ("demo", "kwok", "karpenter")
DESCRIPTION = "A cluster at 40 % use: the evictor says which nodes could go, empties them, and Karpenter deletes them."
EXAMPLES = """\
examples:
  ./taskw demo:evictor                   start a control plane on loopback, show it all, remove everything
  ./taskw demo:evictor -- --nodes 8      a small cluster: quicker
  ./taskw demo:evictor -- -o json        the checked outcome as JSON on standard output, the story on standard error
  ./taskw demo:evictor -- --keep         leave the cluster running until Enter is pressed

exit codes: 0 the promised nodes are deleted and no floor was broken, 1 they are not or something failed, 2 wrong usage,
            130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run. Returns the exit code."""
    options = parser(EVICTOR.command, DESCRIPTION, EXAMPLES, NODES, "how many nodes")
    arguments = options.parse_args(argv)
    if not LEAST_NODES <= arguments.nodes <= MOST_NODES:
        options.error(f"--nodes is a number from {LEAST_NODES} to {MOST_NODES}")
    return ended(lambda: run(arguments, sys.stderr))


def run(arguments: argparse.Namespace, stream: TextIO) -> int:
    """Run the demo. Returns the exit code."""
    ensure(TOOLS)
    with played(
        EVICTOR,
        lambda cluster, stage: Story(cluster, stage, arguments.nodes).tell(),
        lambda outcome: [outcome.sentence],
        arguments,
        stream,
    ) as outcome:
        show_outcome(outcome, arguments.output, stream)
    return next_step(outcome, stream)


def next_step(outcome: Outcome, stream: TextIO) -> int:
    """Print the outcome and the next step. Returns the exit code."""
    hint = "what could go in a cluster of yours, with read rights only: moorage evictor --once"
    return advise(outcome, EVICTOR.command, hint, stream)


def show_outcome(outcome: Outcome, output: str, stream: TextIO) -> None:
    """Print the floors of all Deployments, and the whole outcome as JSON if requested."""
    print_outcome(outcome, {**dataclasses.asdict(outcome), "share": round(outcome.share, 3)}, output, stream)


if __name__ == "__main__":
    sys.exit(main())
