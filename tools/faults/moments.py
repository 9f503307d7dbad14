"""Repeats a story with a fault at a random moment each time, and checks its end."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.demo.common.events import Mark
from tools.demo.common.sentences import print_line
from tools.toolchain.guard import interrupt_with_parent

MOMENTS = 20


@dataclass(frozen=True)
class Moment:
    """One run: the victim, and the time of the fault in seconds after the start of the story."""

    victim: str
    at: float


@dataclass(frozen=True)
class Played:
    """The result of a run.

    Attributes:
        good: whether the end is right.
        said: log of the run and its mistakes; shown if there are any.
    """

    good: bool
    said: Sequence[str]


@dataclass(frozen=True)
class Story:
    """A story.

    Attributes:
        task: the task's name.
        about: what it does, for the help text.
        victims: the possible victims.
        latest: the latest time of a fault, in seconds.
        play: runs it once.
        good: text for a right end.
        bad: text for a wrong end.
    """

    task: str
    about: str
    victims: Sequence[str]
    latest: float
    play: Callable[[Moment], Played]
    good: str
    bad: str


def choose(count: int, seed: int, victims: Sequence[str], latest: float) -> list[Moment]:
    """Random moments. The victims take turns.

    Args:
        count: number of moments.
        seed: the same seed gives the same moments.
        victims: the possible victims.
        latest: the latest time, in seconds.
    """
    chance = random.Random(seed)
    return [Moment(victims[index % len(victims)], round(chance.uniform(0, latest), 2)) for index in range(count)]


def main(story: Story, argv: Sequence[str] | None = None) -> int:
    """Run all moments. Returns 0 if every end is right.

    Args:
        story: the story.
        argv: the command line, by default this process's.
    """
    parser = argparse.ArgumentParser(prog=f"./taskw {story.task} --", description=story.about)
    parser.add_argument("moments", nargs="?", type=int, default=MOMENTS, help="how many (%(default)s)")
    parser.add_argument("seed", nargs="?", type=int, help="seed of the random moments; a new one by default")
    parser.add_argument("--victim", choices=story.victims, help="use only this victim; by default all take turns")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the log of a run also if its end is right")
    arguments = parser.parse_args(argv)
    if arguments.moments < 1:
        parser.error("at least one moment")
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    victims = [arguments.victim] if arguments.victim else list(story.victims)
    interrupt_with_parent()
    try:
        moments = choose(arguments.moments, seed, victims, story.latest)
        return _all(story, moments, seed, verbose=arguments.verbose)
    except KeyboardInterrupt:
        print_line(sys.stderr, "interrupted", Mark.BAD)
        return 130


def _all(story: Story, moments: Sequence[Moment], seed: int, *, verbose: bool) -> int:
    failed = 0
    print_line(sys.stdout, f"{len(moments)} moments, seed {seed}")
    for index, moment in enumerate(moments, 1):
        played = story.play(moment)
        failed += not played.good
        name = f"{index:3} of {len(moments)}: {moment.victim} at {moment.at:5.2f} s"
        end = story.good if played.good else story.bad
        print_line(sys.stdout, f"{name}: {end}", Mark.GOOD if played.good else Mark.BAD)
        if verbose or not played.good:
            print(*played.said, sep="\n", flush=True)
    print_line(sys.stdout, f"{len(moments) - failed} of {len(moments)} ended in {story.good} (seed {seed})")
    return 1 if failed else 0
