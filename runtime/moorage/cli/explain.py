"""``moorage explain``: everything about one node or pod of a cluster, or of a dump of it.

Of a cluster also what pod pinning has promised there, as ``moorage pins`` has it; a dump holds none of that.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from moorage.ops import configuration
from moorage.ops.aio import run_command
from moorage.ops.settings import EvictorSettings

from . import looking
from .frame import FAILED, Ended, add_output, connected, settings_of
from .looking import SERVICE
from .parser import WRONG_USAGE, Parser, make, typed_as
from .terminal import colours, plain

if TYPE_CHECKING:  # loaded when there is something to do
    from moorage.pinner.commands.overview import Held

EXAMPLES = """\
  moorage explain node ip-10-0-3-7.ec2.internal      may it be emptied, what holds it, where would its pods go
  moorage explain pod shop/web-7d9c5b8f6-x2x7p       may it be evicted, and where would the next one run
  moorage explain pod shop/web-0 --from cluster.json -o json
                                                     from a dump, for scripts"""
EXIT_CODES = """\
exit codes:
  0    explained
  1    no object has that name, or nothing could be read
  2    wrong usage, settings, rules or prices
  3    explained, but something could not be read
  130  interrupted by Ctrl-C"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Explains one node or pod: whether it may go, everything that holds it, and where pods would go.\n"
        "For a cluster it also shows the pod pinner's reservations there (key pinning of the JSON)."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("kind", choices=["node", "pod"], help="kind of the object")
    made.add_argument("name", metavar="NAME", help="name of the node, or NAMESPACE/NAME of the pod")
    looking.add_arguments(made)
    add_output(made)
    configuration.add_flags(made, EvictorSettings, without=SERVICE)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look, and explain."""
    if arguments.kind == "pod" and "/" not in arguments.name:
        print(
            f"{typed_as('explain')}: pods are named with their namespace, like shop/{arguments.name}", file=sys.stderr
        )
        return WRONG_USAGE
    try:
        return _explain(arguments)
    except Ended as ended:
        return ended.code


def _explain(arguments: argparse.Namespace) -> int:
    settings = settings_of(EvictorSettings, arguments, typed_as("explain"))
    seen, _ = looking.look_once(arguments, settings, typed_as("explain"))
    from moorage.evictor.report import UnknownName, explain_node, explain_pod

    explain = explain_node if arguments.kind == "node" else explain_pod
    try:
        found = explain(seen, arguments.name)
    except UnknownName as error:
        print(f"{typed_as('explain')}: {error}", file=sys.stderr)
        return FAILED
    promised = None if arguments.dumps else _promised(arguments, settings)
    if arguments.output == "json":
        print(_as_json(found.json(), promised))
    else:
        print("\n\n".join(part.rstrip("\n") for part in (found.text(colours()), _as_text(promised)) if part))
    return looking.code_of(seen)


class Promised(NamedTuple):
    """What the pod pinner has promised for the object.

    Attributes:
        nodes: its reservations.
        left: why a pod was left to the scheduler; empty when it was not.
        now: the API server's time.
    """

    nodes: Sequence[Held]
    left: str
    now: datetime


def _promised(arguments: argparse.Namespace, settings: EvictorSettings) -> Promised | None:
    """Look; None when there are no reservations in the cluster, or none that may be seen."""
    from moorage.kube.errors import Forbidden, KubeError, NotFound

    try:
        return run_command(lambda: _look_up(arguments.kind, arguments.name, settings))
    except NotFound:
        return None
    except Forbidden:
        print("note: reservations cannot be read: may not list nodereservations and pods", file=sys.stderr)
    except KubeError as error:
        print(f"note: reservations cannot be read: {error}", file=sys.stderr)
    return None


async def _look_up(kind: str, name: str, settings: EvictorSettings) -> Promised:
    from moorage.pinner.commands import overview

    async with connected(settings) as client:
        found = await overview.gather(client)
        now = client.transport.clock.now()
    if found.hidden:
        print(f"note: {found.hidden}", file=sys.stderr)
    if kind == "node":
        return Promised(found.of(name), "", now)
    pinned = [each for each in found.nodes if any(pod.pod == name for pod in each.pods)]
    return Promised(pinned, found.left.get(name, ""), now)


def _as_text(promised: Promised | None) -> str:
    if promised is None or not (promised.nodes or promised.left):
        return ""
    from . import pins

    parts = [pins.in_full(each, promised.now, colours=colours()) for each in promised.nodes]
    parts += [f"  left to the scheduler: {plain(promised.left)}"] if promised.left else []
    return "pod pinning:\n" + "\n".join(parts)


def _as_json(text: str, promised: Promised | None) -> str:
    """The explanation with the key ``pinning``: reservations, and why a pod was left to the scheduler."""
    if promised is None:
        return text.rstrip("\n")
    pinning = {"nodes": [each.as_json() for each in promised.nodes], "left": promised.left}
    return json.dumps({**json.loads(text), "pinning": pinning}, indent=2, ensure_ascii=False)
