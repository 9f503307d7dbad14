"""``moorage top``: nodes, the pods on them and what is promised, as it changes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.ops import configuration, parsing
from moorage.ops.configuration import setting
from moorage.ops.settings import ClusterSettings

from .frame import add_output, on_cluster, quiet
from .parser import Parser, make, typed_as

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client

    from .pictures.following import Followed

EXAMPLES = """\
  moorage top                            follow the cluster; q or Ctrl-C ends it
  moorage top --once                     one picture, and end; so it is too when standard output is no terminal
  moorage top -o json                    an object a line whenever something has changed, for scripts
  moorage top -o json --once             one object"""
EXIT_CODES = """\
exit codes:
  0    shown; ended by q or --once
  1    the cluster could not be looked at
  2    wrong usage
  130  interrupted by Ctrl-C"""
PAUSE = 0.5
"""Seconds between two pictures, and between two objects, however much changes."""
INTERVAL = 2.0
"""Seconds after which a picture is drawn anew even when nothing has changed."""


@dataclass(frozen=True, kw_only=True)
class TopSettings(ClusterSettings):
    """Settings of ``moorage top``."""

    interval: float | None = setting(
        "MOORAGE_TOP_INTERVAL",
        "Time between two pictures (unset: 2s, and at once when something changes) or objects (unset: when something "
        "changes)",
        parsing.seconds,
        None,
    )


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Shows nodes with the pods on them, one block a pod, and what is promised: placeholders, pins, expected pods.\n"
        "What needs attention comes first; what has no room is summed up. Changes nothing.\n"
        "Takes the right to list and watch nodes, pods, nodereservations and slotreservations."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("--once", action="store_true", help="show it once, and end")
    add_output(made)
    configuration.add_flags(made, TopSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Follow the cluster, and show it."""
    with quiet():
        return on_cluster(
            TopSettings, arguments, typed_as("top"), lambda settings, client: _top(settings, client, arguments)
        )


async def _top(settings: TopSettings, client: Client, arguments: argparse.Namespace) -> int:
    from .pictures.following import following

    async with following(client) as followed:
        if arguments.output == "json":
            await _objects(followed, settings.interval, once=arguments.once)
        elif arguments.once or not sys.stdout.isatty():
            _print(followed)
        else:
            await _live(followed, settings.interval or INTERVAL)
    return 0


def _print(followed: Followed) -> None:
    """Print one picture. Into a file it has a line for every node."""
    from .pictures.drawing import Colours, Frame
    from .pictures.live import console

    scene = followed.scene()
    shown = console()
    shown.print(
        Frame(scene, Colours(scene.owners()), _heading(followed), followed.notes(), whole=not shown.is_terminal)
    )


async def _live(followed: Followed, interval: float) -> None:
    from rich.live import Live

    from .pictures.drawing import Colours, Frame
    from .pictures.live import console, quit_key

    colours, pressed = Colours(), asyncio.Event()
    with Live(console=console(), screen=True, auto_refresh=False) as shown, quit_key(pressed):
        while not pressed.is_set():
            scene = followed.scene()
            colours.add(scene.owners())
            heading = f"{_heading(followed)}   q ends"
            shown.update(Frame(scene, colours, heading, followed.notes()), refresh=True)
            await _either(interval, pressed, after=PAUSE, changed=followed.changed)


async def _objects(followed: Followed, interval: float | None, *, once: bool) -> None:
    """An object a line: when something has changed, or every so many seconds."""
    while True:
        followed.changed.clear()
        now = followed.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        result = {"time": now, "server": followed.server, "notes": followed.notes(), **followed.scene().as_json()}
        print(json.dumps(result, ensure_ascii=False), flush=True)
        if once:
            return
        if interval is not None:
            await asyncio.sleep(interval)
        else:
            await asyncio.sleep(PAUSE)
            await followed.changed.wait()


async def _either(seconds: float, pressed: asyncio.Event, *, after: float, changed: asyncio.Event) -> None:
    """Wait for a key, for a change or for some seconds; for a change not before a while."""
    changed.clear()
    if await _waited(pressed, after):
        return
    waiting = [asyncio.create_task(each.wait()) for each in (pressed, changed)]
    try:
        await asyncio.wait(waiting, timeout=max(0.0, seconds - after), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _waited(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _heading(followed: Followed) -> str:
    return f"Moorage · {followed.server} · {followed.now():%H:%M:%S} UTC"
