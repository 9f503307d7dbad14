"""``moorage pins``: what is promised on which node, how much of it has come, and why not the rest."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from moorage.ops import configuration
from moorage.ops.settings import ClusterSettings

from .durations import until
from .frame import FAILED, add_output, on_cluster
from .parser import Parser, make, typed_as
from .table import table
from .terminal import GREEN, RED, YELLOW, colours, painted, plain

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.kube.client import Client
    from moorage.pinner.commands.overview import Expected, Held

EXAMPLES = """\
  moorage pins                           every node with a reservation: pods, slots left, until when
  moorage pins new-1                     one of them in full: each pod, each slot and what has filled it
  moorage pins -o json                   everything, for scripts"""
EXIT_CODES = """\
exit codes:
  0    shown; there may be nothing to show
  1    there is no reservation of that name, or the cluster could not be read
  2    wrong usage
  130  interrupted by Ctrl-C"""
UNDEFINED = "NodeReservations are not defined: no pod pinner is installed in the cluster"
_COLOURS = dict.fromkeys(("Ready", "Preparing", "Served"), GREEN) | dict.fromkeys(
    ("Failing", "Stopped", "Foreign"), RED
)


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Shows reservations: which nodes are promised, which pods are pinned to them, and which pods are still\n"
        "expected there and on running nodes. Also shows what has filled the slots (webhook, binding or scheduler),\n"
        "and until when room is held. Changes nothing."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("nodes", metavar="NODE", nargs="*", help="only these, in full")
    add_output(made)
    configuration.add_flags(made, ClusterSettings)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look, and show."""
    prog = typed_as("pins")
    return on_cluster(
        ClusterSettings, arguments, prog, lambda _, client: _pins(client, arguments, prog), undefined=UNDEFINED
    )


async def _pins(client: Client, arguments: argparse.Namespace, prog: str) -> int:
    from moorage.pinner.commands import overview

    found = await overview.gather(client)
    now, server = client.transport.clock.now(), client.transport.access.server
    known = {name for each in found.nodes for name in (each.joined_as, each.node) if name}
    unknown = [name for name in arguments.nodes if name not in known]
    for name in unknown:
        print(f"{prog}: {_unknown(name, known)}", file=sys.stderr)
    if found.hidden:
        print(f"note: {found.hidden}", file=sys.stderr)
    shown = [each for name in arguments.nodes for each in found.of(name)] if arguments.nodes else found.nodes
    if arguments.output == "json":
        nodes = [each.as_json() for each in shown]
        print(json.dumps({"server": server, "nodes": nodes, "left": dict(found.left)}, indent=2))
    elif arguments.nodes:
        print("\n\n".join(in_full(each, now, colours=colours()) for each in shown), end="\n" if shown else "")
    else:
        print(_all(shown, server, now, colours=colours()))
        for key, why in found.left.items():
            print(f"pod {key} is left to the scheduler: {plain(why)}")
    return FAILED if unknown else 0


def _all(found: Sequence[Held], server: str, now: datetime, *, colours: bool) -> str:
    if not found:
        return f"nothing is promised in the cluster at {server}"
    header = ("NODE", "STATE", "PINNED", "SLOTS LEFT", "UNTIL", "PLAN", "WHY")
    rows = [
        (
            f"{each.node} ({each.joined_as})" if each.joined_as else each.node,
            each.state or "–",
            f"{each.bound}/{len(each.pods)}" if each.pods else "–",
            f"{sum(slot.left for slot in each.slots)}/{sum(slot.count for slot in each.slots)}" if each.slots else "–",
            until(each.until, now),
            plain(each.plan) or "–",
            plain(each.message),
        )
        for each in found
    ]
    lines = table(header, rows).splitlines()
    if colours:
        shown = (_painted(line, row[1]) for line, row in zip(lines[1:], rows, strict=True))
        lines = [lines[0], *shown]
    return "\n".join(lines)


def in_full(held: Held, now: datetime, *, colours: bool) -> str:
    """Everything about one reservation.

    Args:
        held: the reservation.
        now: the API server's time.
        colours: whether the state has a colour.
    """
    runs = " (it runs already)" if held.kind == "SlotReservation" else ""
    lines = [f"node {held.node}{runs}: {held.state or 'no state yet'}"]
    if colours:
        lines = [_painted(lines[0], held.state)]
    lines += [f"  {name}: {value}" for name, value in _facts(held, now)]
    pods = [f"    {each.pod}: {each.state}{f' on {each.node}' if each.node else ''}" for each in held.pods]
    lines += [f"  pinned pods: {held.bound} of {len(held.pods)} bound", *pods] if pods else []
    lines += ["  expected pods:", *(f"    {_slot(each)}" for each in held.slots)] if held.slots else []
    return "\n".join(lines)


def _facts(held: Held, now: datetime) -> Iterator[tuple[str, str]]:
    if held.joined_as:
        yield "joined as", held.joined_as
    if held.plan:
        yield ("by" if held.kind == "SlotReservation" else "plan"), plain(held.plan)
    if held.deadline:
        yield "must have joined", until(held.deadline, now)
    if held.expected_until:
        yield "pods are expected for", until(held.expected_until, now)
    if held.message:
        yield "why", plain(held.message)


def _slot(slot: Expected) -> str:
    requests = ", ".join(f"{name} {amount}" for name, amount in sorted(slot.requests.items())) or "nothing"
    by = {"the webhook": slot.webhook, "bindings": slot.binding, "the scheduler": slot.scheduler}
    filled = ", ".join(f"{count} by {who}" for who, count in by.items() if count) or "none filled"
    why = f"; left to the scheduler: {plain(slot.reason)}" if slot.reason else ""
    return f"{slot.owner} ({requests}): {slot.left} of {slot.count} left, {filled}{why}"


def _painted(line: str, state: str) -> str:
    """A line with its state in a colour."""
    return line.replace(state, painted(state, _COLOURS.get(state, YELLOW)), 1) if state else line


def _unknown(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no reservation of node {name}{hint}"
