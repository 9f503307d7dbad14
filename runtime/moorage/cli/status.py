"""``moorage status``: what is installed, how it stands, and what needs attention, on one screen."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.ops import configuration, parsing
from moorage.ops.configuration import setting
from moorage.ops.settings import ClusterSettings

from .frame import add_output, on_cluster, quiet
from .parser import Parser, make, typed_as
from .terminal import GREEN, GREY, RED, YELLOW, colours, painted, plain

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client

    from .installed.gathering import Gathered
    from .installed.judging import Part

ATTENTION = 1
CANNOT_LOOK = 2
SHOWN = 5
"""So many things that need attention are shown of each part."""
EXAMPLES = """\
  moorage status                         everything on one screen
  moorage status -o json                 the same for scripts
  moorage status --namespace moorage     where it is installed in another namespace"""
EXIT_CODES = """\
exit codes:
  0    all is well
  1    something needs attention
  2    cannot look: the cluster is not reached, something that matters may not be read, or wrong usage
  130  interrupted by Ctrl-C"""
_COLOURS = {"ok": GREEN, "attention": RED, "unknown": YELLOW, "not installed": GREY}
_INDENT = 15


@dataclass(frozen=True, kw_only=True)
class StatusSettings(ClusterSettings):
    """Settings of ``moorage status``."""

    namespace: str = setting("MOORAGE_NAMESPACE", "Where Moorage is installed", parsing.name, "castai-agent")


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Shows what is installed and how it stands: who leads, whether a planner is connected, the webhook,\n"
        "reservations, placeholders and pins; the evictor and what it saw last; the planner. Changes nothing.\n"
        "Takes the right to read deployments, leases, nodes, pods, nodereservations, slotreservations,\n"
        "evictorconfigs and mutatingwebhookconfigurations; with get on pods/proxy also what leaders say of themselves."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    add_output(made)
    made.add_argument("-n", dest="namespace", metavar="NAMESPACE", help="--namespace, as kubectl has it")
    configuration.add_flags(made, StatusSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look, and show."""
    with quiet():
        return on_cluster(
            StatusSettings,
            arguments,
            typed_as("status"),
            lambda settings, client: _status(settings, client, arguments.output),
            failed=CANNOT_LOOK,
        )


async def _status(settings: StatusSettings, client: Client, output: str) -> int:
    from .installed.gathering import gather
    from .installed.judging import judge

    found = await gather(client, settings.namespace)
    parts = judge(found)
    if output == "json":
        print(json.dumps(_as_json(found, parts), indent=2, ensure_ascii=False))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        print("\n".join(lines(found, parts, max(60, width), colour=colours())))
    return code(parts)


def code(parts: Sequence[Part]) -> int:
    """The exit code: what needs attention outweighs what could not be seen."""
    if any(part.problems for part in parts):
        return ATTENTION
    return CANNOT_LOOK if any(part.unseen for part in parts) else 0


def lines(found: Gathered, parts: Sequence[Part], width: int, *, colour: bool) -> Iterator[str]:
    """All of it for people.

    Args:
        found: what was read.
        parts: what was made of it.
        width: of a line, in characters.
        colour: whether states have colours.
    """
    yield f"cluster {found.server}, namespace {found.namespace}"
    for part in parts:
        yield ""
        state = part.state.value
        word = f"{state:<14}"
        yield f"{part.name:<11} {painted(word, _COLOURS[state]) if colour else word}{part.summary}"
        for name, value in part.facts.items():
            yield from _wrapped(f"  {name:<{_INDENT - 3}} ", plain(value), width)
    wanting = [problem for part in parts for problem in _shown(part.problems)]
    unseen = [f"cannot be seen: {each}" for part in parts for each in part.unseen]
    if wanting or unseen:
        yield ""
    for problem in (*wanting, *dict.fromkeys(unseen)):
        for line in _wrapped("! ", plain(problem), width):
            yield painted(line, RED if problem in wanting else YELLOW) if colour else line


def _shown(problems: Sequence[str]) -> Iterator[str]:
    yield from problems[:SHOWN]
    if len(problems) > SHOWN:
        yield f"and {len(problems) - SHOWN} more: -o json has them all"


def _wrapped(head: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head)) or [head.rstrip()]


def _as_json(found: Gathered, parts: Sequence[Part]) -> dict[str, object]:
    from moorage.pinner.commands.overview import Overview

    from .installed.judging import reserved

    promised = found.promised
    numbers = None
    if isinstance(promised, Overview):
        from dataclasses import asdict

        numbers = asdict(reserved(promised, found)) | {"placeholders": found.placeholders}
    return {
        "server": found.server,
        "namespace": found.namespace,
        "state": {0: "ok", ATTENTION: "attention", CANNOT_LOOK: "unknown"}[code(parts)],
        "parts": {part.name: part.as_json() for part in parts},
        "reservations": numbers,
    }
