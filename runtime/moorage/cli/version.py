"""``moorage version``."""

from __future__ import annotations

import argparse
import json
import platform

from moorage.ops.version import version

from .frame import add_output
from .parser import Parser, make

EXAMPLES = """\
  moorage version           the version alone
  moorage version -o json   with Python's and the platform's"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    made = make(prog, "Prints the version.", EXAMPLES)
    add_output(made)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Print it."""
    if arguments.output == "json":
        print(json.dumps({"version": version(), "python": platform.python_version(), "platform": platform.platform()}))
    else:
        print(version())
    return 0
