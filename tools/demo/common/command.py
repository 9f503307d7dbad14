"""What the demos' command lines have in common: their picture, their recording, and how they end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from moorage.kube import errors
from moorage.ops.logs import JsonFormatter
from tools.demo.errors import DemoError
from tools.localcluster import ClusterError
from tools.toolchain import ToolError
from tools.toolchain.guard import interrupt_with_parent
from tools.toolchain.manifest import load

from . import record
from .demo import Demo
from .events import Event, Mark
from .screen import FRAME, Screen
from .sentences import print_line
from .stage import Stage

T = TypeVar("T")
MANIFEST = Path(__file__).resolve().parents[2] / "tools.yaml"
_SHOWN = 10
"""So many problems are shown one by one."""


def ended(run: Callable[[], int], stream: TextIO = sys.stderr) -> int:
    """Run, and turn every end into an exit code and a sentence."""
    interrupt_with_parent()
    try:
        return run()
    except KeyboardInterrupt:
        print_line(stream, "interrupted; everything that was started has been ended", Mark.BAD)
        return 130
    except (ClusterError, ToolError, DemoError, errors.KubeError, OSError) as error:
        print_line(stream, str(error), Mark.BAD)
        return 1


def sinks(demo: Demo[Any], path: Path | None, shown: Screen, stack: ExitStack) -> list[Callable[[Event], None]]:
    """Where events go: to the screen, and to a recording if there is to be one.

    Args:
        demo: which.
        path: of the recording.
        shown: the screen.
        stack: closes the recording.
    """
    if path is None:
        return [shown.show]
    path.parent.mkdir(parents=True, exist_ok=True)
    version = load(MANIFEST).tools["kube-apiserver"].folder.version
    writer = stack.enter_context(record.Writer(path, record.heading(demo.name, version)))
    return [shown.show, writer.write]


@contextmanager
def logs_in(path: Path) -> Iterator[None]:
    """Put what our own caches log beside the logs of the others, not into the picture."""
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


async def ticking(story: Coroutine[None, None, T], stage: Stage[Any], shown: Screen) -> T:
    """The story, while the picture's clock goes on."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(FRAME)
            shown.tick(stage.elapsed)

    ticker = asyncio.create_task(tick())
    try:
        return await story
    finally:
        ticker.cancel()


def judge(problems: Sequence[str], good: Sequence[str], stage: Stage[Any]) -> None:
    """Tell the verdict: what is wrong, or what was checked."""
    for problem in problems[:_SHOWN]:
        stage.say(problem, Mark.BAD)
    if len(problems) > _SHOWN:
        stage.say(f"and {len(problems) - _SHOWN} more problems (-o json lists all)", Mark.BAD)
    for sentence in good if not problems else ():
        stage.good(sentence)
