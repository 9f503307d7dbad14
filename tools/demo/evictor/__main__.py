"""Runs the evictor's demo on a control plane of its own: ``python -m tools.demo.evictor``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from moorage.ops.aio import run_command
from tools.demo.common.command import ended, judge, logs_in, sinks, ticking
from tools.demo.common.screen import screen
from tools.demo.common.sentences import print_line
from tools.demo.common.stage import Stage
from tools.localcluster import LocalCluster
from tools.toolchain import ensure

from .check import Outcome
from .play import EVICTOR
from .scenario import LEAST_NODES, NODES
from .state import State
from .story import Story

MOST_NODES = 99
"""Two digits, and what one processor plays."""
TOOLS = ("demo", "kwok", "karpenter")
DESCRIPTION = "A cluster at 40 % use: the evictor says which nodes could go, empties them, and Karpenter deletes them."
EXAMPLES = """\
examples:
  ./taskw demo:evictor                   start a control plane on loopback, show it all, remove everything
  ./taskw demo:evictor -- --nodes 8      a small cluster: quicker
  ./taskw demo:evictor -- -o json        the checked outcome as JSON on standard output, the story on standard error
  ./taskw demo:evictor -- --keep         leave the cluster running until Enter is pressed

exit codes: 0 what was promised is deleted and nobody noticed, 1 it is not or something failed, 2 wrong usage,
            130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./taskw demo:evictor --",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how the outcome is printed")
    parser.add_argument("--nodes", type=int, default=NODES, metavar="COUNT", help="how many nodes (%(default)d)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running until Enter is pressed")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what happens to a file for demo:replay")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run, and turn every end into an exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not LEAST_NODES <= arguments.nodes <= MOST_NODES:
        parser.error(f"--nodes is a number from {LEAST_NODES} to {MOST_NODES}")
    return ended(lambda: run(arguments, sys.stderr))


def run(arguments: argparse.Namespace, stream: TextIO) -> int:
    """Play; returns the exit code."""
    ensure(TOOLS)
    with ExitStack() as stack:
        shown = screen(stream, EVICTOR, EVICTOR.heading)
        with ExitStack() as playing:
            playing.enter_context(shown)
            stage = Stage(State(), *sinks(EVICTOR, arguments.record, shown, playing))
            stage.say("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback")
            cluster = stack.enter_context(LocalCluster())
            playing.enter_context(logs_in(cluster.logs / "demo.log"))
            outcome = run_command(lambda: ticking(Story(cluster, stage, arguments.nodes).tell(), stage, shown))
            judge(outcome.problems, [outcome.sentence], stage)
        show_outcome(outcome, arguments.output, stream)
        if arguments.keep:
            print_line(stream, f"kept: export KUBECONFIG={cluster.kubeconfig}; press Enter to remove it")
            sys.stdin.readline()
    print_line(stream, "everything removed")
    return next_step(outcome, stream)


def next_step(outcome: Outcome, stream: TextIO) -> int:
    """Say what to do now; returns the exit code."""
    if outcome.problems:
        print_line(stream, "please report this with the output of ./taskw demo:evictor -- -o json and ./taskw doctor")
        return 1
    print_line(stream, "what could go in a cluster of yours, with read rights only: moorage evictor --once")
    return 0


def show_outcome(outcome: Outcome, output: str, stream: TextIO) -> None:
    """Print the floors of all Deployments, and all of the outcome as JSON when that is wanted."""
    for name, each in outcome.workloads.items():
        print_line(stream, f"{name}: {each.sentence}")
    if output == "json":
        document = {"ok": not outcome.problems, **dataclasses.asdict(outcome), "share": round(outcome.share, 3)}
        print(json.dumps(document, indent=2), flush=True)


if __name__ == "__main__":
    sys.exit(main())
