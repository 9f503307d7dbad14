"""Plays a recorded demo: ``python -m tools.demo.replay``; needs nothing but this Python."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .common.events import Event, Mark
from .common.record import RecordingError, read
from .common.screen import Screen, screen
from .common.sentences import print_line
from .events import Phase
from .evictor.play import EVICTOR
from .play import POD_PINNER
from .rebalance.play import REBALANCE

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
RECORDING, EVICTORS, REBALANCES = (IMAGES / f"{name}.jsonl" for name in ("demo", "evictor-demo", "rebalance-demo"))
SECONDS = 20.0
READING = 2.5
"""Seconds for which a caption stands before the story goes on."""
EXAMPLES = """\
examples:
  ./taskw demo:replay                    the committed recording, in about 20 s
  ./taskw demo:replay -- --seconds 5     faster
  ./taskw demo:replay -- build/my.jsonl  a recording of your own (./taskw demo -- --record build/my.jsonl)
  ./taskw demo:evictor:replay            the evictor's; takes the same options
  ./taskw demo:rebalance:replay          the rebalancing's; takes the same options

exit codes: 0 played, 1 the recording cannot be read, 2 wrong usage, 130 interrupted"""


def play(events: Sequence[Event], shown: Screen, speed: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show events at their times.

    Args:
        events: in order.
        shown: where.
        speed: how many times faster than recorded; 0: without any pause.
        sleep: waits for seconds (for tests).
    """
    now = 0.0
    for event in events:
        while speed and event.at > now:
            step = min(event.at - now, 0.1 * speed)  # the clock in the picture moves also when nothing happens
            sleep(step / speed)
            now += step
            shown.tick(now)
        shown.show(event)
        if speed and isinstance(event, Phase):
            sleep(READING)


def main(argv: Sequence[str] | None = None) -> int:
    """Read, play, say what it was."""
    parser = argparse.ArgumentParser(
        prog="./taskw demo:replay --",
        description="Plays a recorded demo. Needs no cluster and no tools.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", nargs="?", type=Path, help="file (the committed one)")
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--evictor", action="store_true", help="the committed one of the evictor's demo")
    others.add_argument("--rebalance", action="store_true", help="the committed one of the rebalancing's demo")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help="how long it plays on a terminal (%(default)g), besides captions; 0: at once",
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        committed = EVICTORS if arguments.evictor else REBALANCES if arguments.rebalance else RECORDING
        return _play(arguments.recording or committed, arguments.seconds)
    except RecordingError as error:
        print_line(sys.stderr, str(error), Mark.BAD)
        return 1
    except KeyboardInterrupt:
        print_line(sys.stderr, "interrupted", Mark.BAD)
        return 130


def _play(path: Path, seconds: float) -> int:
    heading, demo, events = read(path, POD_PINNER, EVICTOR, REBALANCE)
    if not events:
        raise RecordingError(f"recording {path} has no events")
    title = f"recording of a run on {heading.machine or 'some machine'}, Kubernetes {heading.kubernetes or 'unknown'}"
    whole = events[-1].at
    shown = screen(sys.stdout, demo, f"{demo.heading} · {title}")
    if not sys.stdout.isatty():
        seconds = 0
        print_line(sys.stdout, title)
    with shown:
        play(events, shown, whole / seconds if seconds > 0 else 0)
    print_line(sys.stdout, f"that was a {title}, {whole:.0f} s long; {demo.command} makes it happen here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
