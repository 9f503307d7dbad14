"""Runs the rebalancing's demo on a control plane of its own: ``python -m tools.demo.rebalance``."""

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
from .play import REBALANCE
from .scenario import LEAST_NODES, MOST_NODES, NODES, scenario
from .state import State
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

exit codes: 0 the plan is carried out and nobody noticed, 1 it is not or something failed, 2 wrong usage,
            130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./taskw demo:rebalance --",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how the outcome is printed")
    parser.add_argument(
        "--nodes", type=int, default=NODES, metavar="COUNT", help="how many nodes are replaced (%(default)d)"
    )
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
    ensure(["demo"])
    with ExitStack() as stack:
        shown = screen(stream, REBALANCE, REBALANCE.heading)
        with ExitStack() as playing:
            playing.enter_context(shown)
            stage = Stage(State(), *sinks(REBALANCE, arguments.record, shown, playing))
            stage.say("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback")
            cluster = stack.enter_context(LocalCluster())
            playing.enter_context(logs_in(cluster.logs / "demo.log"))
            story = Story(cluster, stage, scenario(arguments.nodes))
            outcome = run_command(lambda: ticking(story.tell(), stage, shown))
            judge(outcome.problems, outcome.sentences, stage)
        show_outcome(outcome, arguments.output, stream)
        if arguments.keep:
            print_line(stream, f"kept: export KUBECONFIG={cluster.kubeconfig}; press Enter to remove it")
            sys.stdin.readline()
    print_line(stream, "everything removed")
    return next_step(outcome, stream)


def next_step(outcome: Outcome, stream: TextIO) -> int:
    """Say what to do now; returns the exit code."""
    if outcome.problems:
        print_line(stream, "please report this with the output of ./taskw demo:rebalance -- -o json and ./taskw doctor")
        return 1
    print_line(stream, "a plan of your own: docs/guides/rebalancing.md; how it stands with one: moorage pins")
    return 0


def show_outcome(outcome: Outcome, output: str, stream: TextIO) -> None:
    """Print the floors of all Deployments, and all of the outcome as JSON when that is wanted."""
    for name, each in outcome.workloads.items():
        print_line(stream, f"{name}: {each.sentence}")
    if output == "json":
        document = {"ok": not outcome.problems, **dataclasses.asdict(outcome), "left": outcome.left}
        print(json.dumps(document, indent=2), flush=True)


if __name__ == "__main__":
    sys.exit(main())
