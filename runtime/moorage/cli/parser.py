"""The argument parser all subcommands share: examples and exit codes in --help, one sentence for wrong usage."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

WRONG_USAGE = 2

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
        print(f"{self.prog}: {message.rstrip('.')}. See {self.prog} --help", file=sys.stderr)
        sys.exit(WRONG_USAGE)


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
        epilog=f"examples:\n{examples.rstrip()}\n\n{exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
