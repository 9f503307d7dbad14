"""The argument parser all subcommands share: examples and exit codes in --help, one sentence for wrong usage."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NoReturn

from moorage.wording import followed

WRONG_USAGE = 2
PLUGIN = "kubectl-moorage"
"""kubectl runs a program of this name on PATH for ``kubectl moorage``."""
_GAP = re.compile(r"(?<=\S) {3,}(?=\S)")

EXIT_CODES = """\
exit codes:
  0    done
  1    failed; the reason is on standard error
  2    wrong usage or settings
  130  interrupted by Ctrl-C"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and where to read more; exit code 2."""
        print(followed(f"{self.prog}: {message}", f"See {self.prog} --help"), file=sys.stderr)
        sys.exit(WRONG_USAGE)


def program() -> str:
    """What a person has typed: ``moorage``, or ``kubectl moorage`` when kubectl has started us as its plug-in."""
    return "kubectl moorage" if Path(sys.argv[0]).stem == PLUGIN else "moorage"


def typed_as(command: str) -> str:
    """What a person has typed for a subcommand; messages begin with it."""
    return f"{program()} {command}"


def make(prog: str, description: str, examples: str, exit_codes: str = EXIT_CODES) -> Parser:
    """A parser with description, examples and exit codes, laid out as they are written.

    Args:
        prog: what a person types, as in ``moorage cleanup``.
        description: what the command does.
        examples: lines of commands with what each does, indented by two blanks.
        exit_codes: the list at the end.
    """
    return Parser(
        prog=prog,
        description=description,
        epilog=f"examples:\n{_as_typed(examples.rstrip())}\n\n{exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _as_typed(examples: str) -> str:
    """Examples as they are typed here; what they mean stays in its column."""
    if program() == "moorage":
        return examples
    more = program().removesuffix("moorage")
    return "\n".join(_typed(line, more) for line in examples.splitlines())


def _typed(line: str, more: str) -> str:
    if line.startswith("  moorage "):
        return f"  {more}{line[2:]}"
    if line.startswith(" " * 10):
        return " " * len(more) + line
    return _GAP.sub(lambda gap: gap[0] + " " * len(more), line, count=1)
