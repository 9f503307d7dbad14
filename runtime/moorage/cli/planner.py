"""``moorage planner``: the arguments and the work are the planner's own."""

from __future__ import annotations

import argparse

from moorage.planner import command

from .parser import Parser, make

EXAMPLES = """\
  moorage planner --plan plan.yaml          serve a plan, and again whenever the file changes
  moorage planner --plan plan.yaml --once   end once all is answered; exit code 1 if something was rejected"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    made = make(prog, "Serves pinning instructions from a plan file to any number of pod pinners.", EXAMPLES)
    command.add_arguments(made)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Serve."""
    return command.main(arguments)
