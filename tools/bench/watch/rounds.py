"""The measurements of one reader, in their order."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.common.figures import Figures
from tools.bench.watch.child import Child

_SETTLE = 3.0
_SYNC_TIMEOUT = 120.0
_EVENTS_TIMEOUT = 180.0


@dataclass(frozen=True)
class Load:
    """The number of events in each phase, and the rate of the paced phase."""

    burst: int
    paced: int
    rate: int
    replay: int


@dataclass(frozen=True)
class Stage:
    """The sources: the real API server with its loader, and the replay server.

    Attributes:
        real: kubeconfig of the API server.
        replayed: kubeconfig of the replay server.
        loader: makes real events.
        replay: sends recorded events.
        load: numbers of events.
        logs: folder for the readers' standard error.
    """

    real: Path
    replayed: Path
    loader: Child
    replay: Child
    load: Load
    logs: Path


def module(name: str, *arguments: str) -> list[str]:
    """The command line of one of the benchmark's own processes."""
    return [sys.executable, "-m", f"tools.bench.watch.{name}", *arguments]


def child(name: str, argv: Sequence[str], logs: Path) -> Child:
    """Start a process that logs below `logs`."""
    return Child(name, argv, logs / f"{name}.log")


def measure(name: str, argv: Sequence[str], stage: Stage) -> Figures:
    """Run a reader through all phases, first with the real server, then with the replay.

    Args:
        name: its name in messages.
        argv: its command line without the kubeconfig.
        stage: the sources.

    Returns:
        Its figures; memory in MiB, times in seconds, CPU in microseconds per event.

    Raises:
        BenchError: it exited or did not answer.
    """
    return _against_server(name, argv, stage) | _against_replay(name, argv, stage)


def _against_server(name: str, argv: Sequence[str], stage: Stage) -> Figures:
    load = stage.load
    with child(name, [*argv, "--kubeconfig", str(stage.real)], stage.logs) as reader:
        synced = reader.hear(_SYNC_TIMEOUT)
        sync = time.monotonic() - reader.started
        time.sleep(_SETTLE)
        rest = reader.ask("report", 10)
        burst = _count(reader, stage.loader, load.burst, f"burst {load.burst}")
        paced = _count(reader, stage.loader, load.paced, f"paced {load.paced} {load.rate}")
        end = reader.ask("report", 10)
    return {
        "pods": synced["pods"],
        "nodes": synced["nodes"],
        "import_rss_mib": synced["import_rss_kib"] / 1024,
        "sync_s": sync,
        "sync_cpu_s": synced["cpu_s"],
        "rss_mib": rest["rss_kib"] / 1024,
        "rss_after_events_mib": end["rss_kib"] / 1024,
        "peak_rss_mib": end["peak_kib"] / 1024,
        "served_cpu_us_per_event": burst["cpu_s"] / load.burst * 1e6,
        "paced_cpu_us_per_event": paced["cpu_s"] / load.paced * 1e6,
        "served_events_per_s": load.burst / burst["elapsed_s"],
    }


def _against_replay(name: str, argv: Sequence[str], stage: Stage) -> Figures:
    events = stage.load.replay
    with child(name, [*argv, "--kubeconfig", str(stage.replayed)], stage.logs) as reader:
        reader.hear(_SYNC_TIMEOUT)
        counted = _count(reader, stage.replay, events, f"go {events}")
    return {
        "events_per_s": events / counted["elapsed_s"],
        "cpu_us_per_event": counted["cpu_s"] / events * 1e6,
    }


def _count(reader: Child, source: Child, events: int, command: str) -> Figures:
    """Let a source make events, and the reader count them."""
    reader.ask(f"count {events}", 10)
    source.tell(command)
    counted = reader.hear(_EVENTS_TIMEOUT)
    source.hear(_EVENTS_TIMEOUT)
    return counted
