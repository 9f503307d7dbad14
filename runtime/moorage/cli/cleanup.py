"""``moorage cleanup``: shows what pod pinning and eviction have left behind, asks, and removes it.

``moorage.pinner.commands.cleanup`` decides what is left behind, and removes each object safely; this module only asks
the user.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moorage.ops import configuration
from moorage.ops.settings import ClusterSettings

from .frame import FAILED, add_output, on_cluster
from .parser import Parser, make, typed_as
from .table import table

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client
    from moorage.pinner.commands.cleanup import Leftover

EXAMPLES = """\
  moorage cleanup --dry-run              only show what would be removed
  moorage cleanup --context staging      of another cluster
  moorage cleanup --yes -o json          without asking, for scripts"""
EXIT_CODES = """\
exit codes:
  0    nothing is left, or --dry-run
  1    something could not be removed, or you said no
  2    wrong usage
  130  interrupted by Ctrl-C"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Removes what the pod pinner has left: placeholders that no machine will take, its taints, its reservations.\n"
        "Gives back nodes that an evictor has begun to empty, or has emptied: removes its cordon and its taint.\n"
        "Deletes the slots that it has reserved.\n"
        "Never deletes real nodes or running pods. Stop pod pinner and evictor first, or they begin again."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    made.add_argument("-y", "--yes", action="store_true", help="do not ask")
    add_output(made)
    configuration.add_flags(made, ClusterSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Show, ask, remove."""
    return on_cluster(ClusterSettings, arguments, typed_as("cleanup"), lambda _, client: _clean_up(client, arguments))


async def _clean_up(client: Client, arguments: argparse.Namespace) -> int:
    from moorage.pinner.commands import cleanup

    found = await cleanup.find(client)
    if arguments.output == "text":
        print(_show(found, client.transport.access.server))
    agreed = found and not arguments.dry_run and (arguments.yes or _ask(len(found)))
    failures = await _remove(client, found, arguments.output) if agreed else {}
    if arguments.output == "json":
        removed = [] if not agreed else [_as_json(each) for each in found if each not in failures]
        failed = [{**_as_json(each), "error": error} for each, error in failures.items()]
        print(json.dumps({"found": [_as_json(each) for each in found], "removed": removed, "failed": failed}, indent=2))
    if not found or arguments.dry_run:
        return 0
    return 0 if agreed and not failures else FAILED


async def _remove(client: Client, found: Sequence[Leftover], output: str) -> dict[Leftover, str]:
    """Remove one object after the other; a failure does not stop the rest."""
    from moorage.kube.errors import KubeError
    from moorage.pinner.commands import cleanup

    failures = {}
    for each in found:
        try:
            await cleanup.remove(client, each)
        except KubeError as error:
            failures[each] = str(error)
            print(f"{each.kind} {each.name}: not removed: {error}", file=sys.stderr)
        else:
            if output == "text":
                print(f"{each.kind} {each.name}: {each.done}")
    return failures


def _show(found: Sequence[Leftover], server: str) -> str:
    if not found:
        return f"nothing is left behind in the cluster at {server}"
    rows = [(each.kind, each.name, each.action, each.detail) for each in found]
    return f"in the cluster at {server}:\n" + table(("KIND", "NAME", "WOULD", "WHY"), rows)


def _ask(count: int) -> bool:
    """Whether a person says yes; anything but a person at a terminal says no."""
    if not sys.stdin.isatty():
        print(
            "nothing was removed: it cannot ask without a terminal; use --yes to go ahead",
            file=sys.stderr,
        )
        return False
    print(f"\ndo all {count} of this? [y/N] ", end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _as_json(each: Leftover) -> dict[str, str]:
    return {"kind": each.kind, "name": each.name, "action": each.action, "detail": each.detail}
