"""Runs the demo: ``python -m tools.demo``; on a control plane of its own unless a context is named."""

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
from tools.localcluster import LocalCluster
from tools.toolchain import ensure

from .check import Outcome
from .common.command import ended, judge, logs_in, sinks, ticking
from .common.screen import Screen, screen
from .common.sentences import print_line
from .existing import Declined, ExistingCluster
from .faults import VICTIMS, Fault
from .play import POD_PINNER
from .stage import Stage
from .story import Story
from .targets import OwnCluster, Target

READING = 3.0
"""Seconds for which a caption stands before the story goes on, where a person may read it."""
EXAMPLES = """\
examples:
  ./taskw demo                        start a control plane on loopback, show it all, remove everything
  ./taskw demo -- -o json             the checked outcome as JSON on standard output, the story on standard error
  ./taskw demo -- --keep              leave the cluster running until Enter is pressed
  ./taskw demo -- --context kind-dev  on a cluster of yours: shows what it will create, asks, removes it all
  ./taskw demo -- --kill pinner --at 2.5
                                      kill -9 the pod pinner (planner, apiserver) 2.5 s after the plan is served

exit codes: 0 all is where the plan put it, 1 it is not or something failed, 2 wrong usage, 130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./taskw demo --",
        description="60 pods are pinned to nodes that do not exist yet; then the machines join, one by one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how the outcome is printed")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running until Enter is pressed")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write what happens to a file for demo:replay")
    parser.add_argument("--context", metavar="NAME", help="play on the cluster of this kubeconfig context")
    parser.add_argument("-y", "--yes", action="store_true", help="with --context: do not ask")
    parser.add_argument("--kill", choices=VICTIMS, help="kill -9 this on the way; the end must be the same")
    parser.add_argument("--at", type=float, default=2.0, metavar="SECONDS", help="when to kill (%(default)g)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run, and turn every end into an exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.context and (arguments.kill or arguments.keep):
        parser.error("--kill and --keep are for the demo's own cluster, not for yours (--context)")
    if arguments.yes and not arguments.context:
        parser.error("--yes answers what only --context asks")
    if arguments.at < 0:
        parser.error("--at is a number of seconds, not below 0")
    return ended(lambda: _accepted(arguments, sys.stderr))


def _accepted(arguments: argparse.Namespace, stream: TextIO) -> int:
    try:
        return run(arguments, stream)
    except Declined as answer:
        print_line(stream, str(answer))
        return 1


def run(arguments: argparse.Namespace, stream: TextIO) -> int:
    """Play on the chosen cluster; returns the exit code."""
    ensure(["demo"])
    with ExitStack() as stack:
        if arguments.context:
            # Asked before the picture is on the terminal; removed after it has gone.
            existing = stack.enter_context(ExistingCluster(arguments.context, yes=arguments.yes, stream=stream))
        shown: Screen = screen(stream, POD_PINNER, POD_PINNER.heading)
        with ExitStack() as playing:
            playing.enter_context(shown)
            reading = READING if stream.isatty() else 0.0
            stage = Stage(*sinks(POD_PINNER, arguments.record, shown, playing), reading=reading)
            target: Target
            if arguments.context:
                target = existing
            else:
                stage.say("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback")
                cluster = stack.enter_context(LocalCluster())
                stage.good(f"control plane ready at {cluster.server}")
                target = OwnCluster(cluster)
            playing.enter_context(logs_in(target.logs / "demo.log"))
            fault = Fault(arguments.kill, arguments.at) if arguments.kill else None
            outcome = run_command(lambda: ticking(Story(target, stage, fault).tell(), stage, shown))
            judge(outcome.problems, _praise(outcome), stage)
        _print_outcome(outcome, arguments.output)
        if arguments.keep:
            print_line(stream, f"kept: export KUBECONFIG={cluster.kubeconfig}; press Enter to remove it")
            sys.stdin.readline()
    print_line(stream, "everything removed")
    _next_steps(stream, good=not outcome.problems)
    return 1 if outcome.problems else 0


def _praise(outcome: Outcome) -> list[str]:
    checked = (
        f"checked: {outcome.pods} pods ran on the nodes the plan names, none Failed, "
        f"{outcome.nodes} placeholders adopted"
    )
    if outcome.alone is None:
        return [checked]
    why = (
        f"on the node that was bought for them: Moorage {outcome.as_bought} of {outcome.pods} pods, "
        f"kube-scheduler alone {outcome.alone.as_bought} of {outcome.alone.pods}"
    )
    return [why, checked]


def _print_outcome(outcome: Outcome, output: str) -> None:
    if output == "json":
        print(json.dumps({"ok": not outcome.problems, **dataclasses.asdict(outcome)}, indent=2), flush=True)


def _next_steps(stream: TextIO, *, good: bool) -> None:
    if not good:
        print_line(stream, "please report this with the output of ./taskw demo -- -o json and ./taskw doctor")
        return
    print_line(stream, "on a cluster of yours: ./taskw demo -- --context NAME")
    print_line(stream, "a plan of your own: moorage planner --help, moorage pod-pinner --help")
    print_line(stream, "all tests: ./taskw test; a cluster to look around in: ./taskw cluster:up")


if __name__ == "__main__":
    sys.exit(main())
