"""Runs the demo on a control plane of its own: ``python -m tools.demo``."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path

from moorage.kube import credentials, errors, resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.kube.transport import Transport
from tools.localcluster import ClusterError, LocalCluster
from tools.toolchain import ToolError, ensure
from tools.toolchain.guard import interrupt_with_parent

from .steps import DemoError, Outcome, Story

EXAMPLES = """\
examples:
  ./taskw demo                  start a control plane on loopback, show the story, remove everything
  ./taskw demo -- -o json       the checked outcome as JSON on standard output, progress on standard error
  ./taskw demo -- --keep        leave the cluster running until Enter is pressed
"""


_INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Console:
    """Lines with the time since the start; colours on a terminal only."""

    def __init__(self, stream: object = sys.stderr) -> None:
        self._started = time.monotonic()
        self._colour = bool(getattr(stream, "isatty", lambda: False)()) and "NO_COLOR" not in os.environ
        self._stream = stream

    def say(self, sentence: str, mark: str = "·", colour: int = 36) -> None:
        """Print one line at once."""
        elapsed = f"{time.monotonic() - self._started:5.1f} s"
        shown = f"\x1b[{colour}m{mark}\x1b[0m" if self._colour else mark
        print(f"{elapsed}  {shown} {sentence}", file=self._stream, flush=True)  # type: ignore[call-overload]

    def good(self, sentence: str) -> None:
        """Print a line about something achieved."""
        self.say(sentence, "✔", 32)

    def bad(self, sentence: str) -> None:
        """Print a line about something that failed."""
        self.say(sentence, "✘", 31)


async def play(kubeconfig: Path, start_kubelet: Callable[[str], object], say: Callable[[str], None]) -> Outcome:
    """Tell the story on the cluster of a kubeconfig."""
    async with Transport(credentials.load(kubeconfig)) as transport:
        nodes, pods = WatchCache(transport, resources.NODES), WatchCache(transport, resources.PODS)
        followers = [asyncio.create_task(nodes.run()), asyncio.create_task(pods.run())]
        try:
            async with asyncio.timeout(30):
                await nodes.wait_synced()
                await pods.wait_synced()
            return await Story(Client(transport), nodes, pods, say).tell(start_kubelet)
        finally:
            for task in followers:
                task.cancel()
            for task in followers:
                with suppress(asyncio.CancelledError):
                    await task


def _run_loop(coroutine: Callable[[], Coroutine[None, None, Outcome]]) -> Outcome:
    """``asyncio.run`` that may be interrupted at any moment without a half-made event loop being left to complain."""
    with asyncio.Runner() as runner:
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            runner.get_loop()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
        return runner.run(coroutine())


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Bring the cluster up, play, check; returns the exit code."""
    ensure(["demo"])
    console.say("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback")
    with LocalCluster() as cluster:
        console.good(f"control plane ready at {cluster.server}")
        outcome = _run_loop(lambda: play(cluster.kubeconfig, cluster.start_hollow_kubelet, console.good))
        problems = outcome.problems()
        if arguments.output == "json":
            print(json.dumps({"ok": not problems, "problems": problems, **dataclasses.asdict(outcome)}, indent=2))
        for problem in problems:
            console.bad(problem)
        if not problems:
            console.good(
                f"checked: {outcome.pod} runs on {outcome.node}, the same Node object that was the placeholder "
                f"(kubelet {outcome.kubelet_version})"
            )
        if arguments.keep:
            console.say(f"kept: export KUBECONFIG={cluster.kubeconfig}; press Enter to remove it")
            sys.stdin.readline()
    console.say("everything removed")
    if not problems:
        console.say("next: ./taskw test runs all tests; ./taskw cluster:up starts a cluster to look around in")
    return 1 if problems else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="./taskw demo --",
        description="A pod is bound to a node before its machine exists; a real kubelet adopts both.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how the outcome is printed")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running until Enter is pressed")
    arguments = parser.parse_args(argv)
    console = Console()
    interrupt_with_parent()
    try:
        return run(arguments, console)
    except KeyboardInterrupt:
        console.bad("interrupted; everything that was started has been ended")
        return 130
    except (ClusterError, ToolError, DemoError, errors.KubeError) as error:
        console.bad(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
