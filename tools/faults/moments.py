"""Plays a story again and again; each time somebody is killed at another random moment, and the end must be right."""

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
    """One run: whom to kill, and when (seconds after the story has begun)."""

    victim: str
    at: float


@dataclass(frozen=True)
class Played:
    """What came of a run.

    Attributes:
        good: whether the end was right.
        said: what was told on the way, and what is wrong; shown when something is.
    """

    good: bool
    said: Sequence[str]


@dataclass(frozen=True)
class Story:
    """What is played.

    Attributes:
        task: the task's name.
        about: what it does, for people.
        victims: whom to kill.
        latest: seconds within which somebody is killed.
        play: plays it once.
        good: what a right end is called.
        bad: what another one is called.
    """

    task: str
    about: str
    victims: Sequence[str]
    latest: float
    play: Callable[[Moment], Played]
    good: str
    bad: str


def choose(count: int, seed: int, victims: Sequence[str], latest: float) -> list[Moment]:
    """Random moments, the victims in turn.

    Args:
        count: how many.
        seed: the same seed chooses the same moments.
        victims: whom to kill.
        latest: seconds.
    """
    chance = random.Random(seed)
    return [Moment(victims[index % len(victims)], round(chance.uniform(0, latest), 2)) for index in range(count)]


def main(story: Story, argv: Sequence[str] | None = None) -> int:
    """Play all moments; 0 when every end was right.

    Args:
        story: what is played.
        argv: the command line, by default this process's.
    """
    parser = argparse.ArgumentParser(prog=f"./taskw {story.task} --", description=story.about)
    parser.add_argument("moments", nargs="?", type=int, default=MOMENTS, help="how many (%(default)s)")
    parser.add_argument("seed", nargs="?", type=int, help="of the random moments; a new one by default")
    parser.add_argument("--victim", choices=story.victims, help="only this one; all in turn by default")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what happened also when the end is right")
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
