"""Finds the subcommand, runs it, and lets no traceback out."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from . import terminal
from .parser import EXIT_CODES, WRONG_USAGE, Parser, make, program, typed_as

FAILED = 1
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """One subcommand: the module that holds it, and its line in ``moorage --help``."""

    module: str
    summary: str


class CommandModule(Protocol):
    """What the module of a subcommand offers."""

    def parser(self, prog: str) -> Parser:
        """Its argument parser."""

    def main(self, arguments: object) -> int:
        """Runs it; returns the exit code."""


COMMANDS = {
    "pod-pinner": Command("pod_pinner", "pin pods to nodes before these exist (runs in the cluster)"),
    "planner": Command("planner", "serve pinning instructions from a plan file"),
    "evictor": Command("evictor", "report which nodes could be removed; without --once it runs in the cluster"),
    "status": Command("status", "show on one screen what is installed, how it stands, and what needs attention"),
    "top": Command("top", "show nodes, the pods on them and what is promised, as it changes"),
    "explain": Command("explain", "explain one node or pod: whether it may go, and what holds it"),
    "pins": Command("pins", "show which pods are pinned to or expected on which nodes, and how many have come"),
    "validate": Command("validate", "list mistakes in values, rules and plans before they are used"),
    "install": Command("install", "print the command of Helm that fits a cluster, and why; changes nothing"),
    "convert": Command("convert", "turn values of the closed charts into values of the chart moorage"),
    "cleanup": Command("cleanup", "remove what Moorage has left in a cluster; asks first"),
    "check": Command("check", "check an installation, as helm test does"),
    "version": Command("version", "print the version"),
}

EXAMPLES = """\
  moorage planner --plan plan.yaml                   serve a plan on loopback
  moorage pod-pinner --planner-address 127.0.0.1:9443 --planner-plaintext
                                                     follow that plan with kubectl's current context
  moorage evictor --once                             report which nodes could be removed, and what holds the others
  moorage cleanup --dry-run                          list what Moorage has left in a cluster
  moorage help COMMAND                               everything about one command, as COMMAND --help"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; the process's own by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    terminal.escape_what_is_unknown_to(sys.stdout)
    try:
        try:
            code = _dispatch(arguments)
        except SystemExit as end:  # argparse ends so after --help and after wrong usage
            code = end.code if isinstance(end.code, int) else FAILED
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:
        if os.environ.get("MOORAGE_LOG_LEVEL") == "debug":
            raise
        print(f"moorage: {_said(error)}", file=sys.stderr)
        return FAILED
    return code


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"cannot write: {error.strerror}"
    return (
        f"a fault of the program itself, please report it: {type(error).__name__}: {error} "
        "(MOORAGE_LOG_LEVEL=debug shows where)"
    )


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:
        arguments = [*(each for each in arguments if each not in ("help", "-h", "--help")), "--help"]
    name, *rest = arguments or ["--help"]
    command = COMMANDS.get(name)
    if command is None:
        return _without_command(arguments)
    module: CommandModule = importlib.import_module(f"moorage.cli.{command.module}")
    return module.main(module.parser(typed_as(name)).parse_args(rest))


def _without_command(arguments: list[str]) -> int:
    parser = make(
        program(),
        "Decides where pods run: pins pods to nodes that do not exist yet, and reports which nodes could be removed.",
        EXAMPLES,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    lines = "\n".join(f"  {name:<12}{command.summary}" for name, command in COMMANDS.items())
    parser.usage = f"{program()} COMMAND [OPTIONS]"
    parser.description = f"{parser.description}\n\ncommands:\n{lines}"
    if arguments and not arguments[0].startswith("-"):
        parser.error(_unknown(arguments[0]))
    if parser.parse_args(arguments).version:
        return _dispatch(["version"])
    parser.print_help()
    return 0 if not arguments else WRONG_USAGE


def _unknown(name: str) -> str:
    import difflib  # only a typing error needs it

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
    return f"there is no command {name!r}: {hint}"


__all__ = ["COMMANDS", "EXIT_CODES", "main"]
