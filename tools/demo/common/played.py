"""Plays a demo on a control plane of its own: the frame around every story that needs nothing else."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from moorage.ops.aio import run_command
from tools.localcluster import LocalCluster

from .command import judge, logs_in, sinks, ticking
from .demo import Demo
from .events import State
from .screen import screen
from .sentences import print_line
from .stage import Stage


class Line(Protocol):
    """What is said in the end of one workload."""

    @property
    def sentence(self) -> str:
        """One line."""


class Checked(Protocol):
    """How a story has ended."""

    @property
    def problems(self) -> Sequence[str]:
        """What is not as it should be."""

    @property
    def workloads(self) -> Mapping[str, Line]:
        """What became of each, by name."""


S = TypeVar("S", bound=State)
C = TypeVar("C", bound=Checked)


def parser(command: str, description: str, examples: str, nodes: int, what: str) -> argparse.ArgumentParser:
    """The command line of such a demo.

    Args:
        command: what makes it happen.
        description: what happens.
        examples: below the options.
        nodes: how many there are unless said otherwise.
        what: what that number is, for people.
    """
    made = argparse.ArgumentParser(
        prog=f"{command} --",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how the outcome is printed")
    made.add_argument("--nodes", type=int, default=nodes, metavar="COUNT", help=f"{what} (%(default)d)")
    made.add_argument("--keep", action="store_true", help="leave the cluster running until Enter is pressed")
    made.add_argument("--record", type=Path, metavar="FILE", help="write what happens to a file for demo:replay")
    return made


@contextmanager
def played(
    demo: Demo[S],
    story: Callable[[LocalCluster, Stage[S]], Coroutine[None, None, C]],
    good: Callable[[C], Sequence[str]],
    arguments: argparse.Namespace,
    stream: TextIO,
) -> Iterator[C]:
    """A demo that was played to its end, and judged; its cluster is removed after the block.

    Args:
        demo: which.
        story: what happens.
        good: what is said if all is well.
        arguments: of the command line.
        stream: where it is told.
    """
    with ExitStack() as stack:
        shown = screen(stream, demo, demo.heading)
        with ExitStack() as playing:
            playing.enter_context(shown)
            stage = Stage(demo.state(), *sinks(demo, arguments.record, shown, playing))
            stage.say("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback")
            cluster = stack.enter_context(LocalCluster())
            playing.enter_context(logs_in(cluster.logs / "demo.log"))
            outcome = run_command(lambda: ticking(story(cluster, stage), stage, shown))
            judge(outcome.problems, good(outcome), stage)
        yield outcome
        if arguments.keep:
            print_line(stream, f"kept: export KUBECONFIG={cluster.kubeconfig}; press Enter to remove it")
            sys.stdin.readline()
    print_line(stream, "everything removed")


def print_outcome(outcome: Checked, document: Mapping[str, Any], output: str, stream: TextIO) -> None:
    """Print a line for each workload, and all of the outcome as JSON when that is wanted."""
    for name, each in outcome.workloads.items():
        print_line(stream, f"{name}: {each.sentence}")
    if output == "json":
        print(json.dumps({"ok": not outcome.problems, **document}, indent=2), flush=True)


def advise(outcome: Checked, command: str, hint: str, stream: TextIO) -> int:
    """Say what to do now; returns the exit code."""
    if outcome.problems:
        print_line(stream, f"please report this with the output of {command} -- -o json and ./taskw doctor")
        return 1
    print_line(stream, hint)
    return 0
