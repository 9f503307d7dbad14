"""``moorage evictor``: one look at a cluster or a dump of it; or the program that runs in the cluster."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.ops import configuration, logs
from moorage.ops.settings import EvictorSettings

from . import looking
from .frame import FAILED, Ended, settings_of
from .looking import SERVICE
from .parser import WRONG_USAGE, Parser, make, typed_as
from .terminal import colours

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.evictor.report import Report

FORMATS = ("table", "wide", "json", "html")
_ONCE = {"output": "-o", "output_file": "--output-file", "rules": "--rules", "prices": "--prices"}
"""Flags of a single report."""
EXAMPLES = f"""\
  moorage evictor --once                      which nodes could go, and what holds the others: reads, changes nothing
  moorage evictor --once -o wide              every node, every move, every pod that holds
  moorage evictor --once -o html --output-file report.html
                                              the same as a page to pass on
  moorage evictor --once --aggressive-mode --rules rules.yaml
                                              what other settings and rules would do
  moorage evictor --from cluster.json         the same without access to the cluster
  moorage evictor                             in a pod: everything from the environment

{looking.DUMP}"""
EXIT_CODES = """\
exit codes:
  0    everything was read
  1    nothing could be read: the cluster cannot be reached, or the dump cannot be used
  2    wrong usage, settings, rules or prices
  3    something could not be read; the report says what that hides
  130  interrupted by Ctrl-C"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Reports which nodes could be removed, where their pods would go, what that saves, and what holds the other\n"
        "nodes. With --once it changes nothing, needs only the right to read, and no installation."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("--once", action="store_true", help="report once and end; --from implies it")
    looking.add_arguments(made)
    made.add_argument("-o", "--output", choices=FORMATS, help="format of the report (default: table)")
    made.add_argument("--output-file", metavar="FILE", help="write the report to this file instead of standard output")
    configuration.add_flags(made, EvictorSettings, without=SERVICE)
    others = configuration.settings_of(EvictorSettings).keys() - set(SERVICE)
    configuration.add_flags(made, EvictorSettings, title="settings of the program in the cluster", without=others)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look once, or run until a signal or an error ends it."""
    try:
        if arguments.once or arguments.dumps:
            return _once(arguments)
        return _serve(arguments)
    except Ended as ended:
        return ended.code


def _once(arguments: argparse.Namespace) -> int:
    wrong = _wrong_output(arguments)
    if wrong:
        print(f"{typed_as('evictor')}: {wrong}", file=sys.stderr)
        return WRONG_USAGE
    settings = settings_of(EvictorSettings, arguments, typed_as("evictor"))
    seen, source = looking.look_once(arguments, settings, typed_as("evictor"))
    from moorage.evictor.report import build

    text = _written(build(seen, source), arguments)
    if arguments.output_file is None:
        sys.stdout.write(text)
        return looking.code_of(seen)
    try:
        Path(arguments.output_file).write_text(text, "utf-8")
    except OSError as error:
        print(
            f"{typed_as('evictor')}: {arguments.output_file} cannot be written: {error.strerror or error}",
            file=sys.stderr,
        )
        return FAILED
    return looking.code_of(seen)


def _wrong_output(arguments: argparse.Namespace) -> str:
    """Why the report cannot be written to its place; checked before the cluster is read."""
    file = arguments.output_file
    if file is None:
        if arguments.output == "html" and sys.stdout.isatty():
            return "HTML cannot be shown in a terminal: add --output-file report.html, and open that file in a browser"
        return ""
    if Path(file).is_dir():
        return f"--output-file: {file} is a folder; name a file"
    if not Path(file).parent.is_dir():
        return f"--output-file: there is no folder {Path(file).parent}"
    return ""


def _written(report: Report, arguments: argparse.Namespace) -> str:
    from moorage.evictor import report as rendering

    colour = colours() and arguments.output_file is None
    width = shutil.get_terminal_size((100, 24)).columns
    ways: dict[str, Callable[[], str]] = {
        "table": lambda: rendering.as_table(report, colour, width),
        "wide": lambda: rendering.as_wide(report, colour),
        "json": lambda: rendering.as_json(report),
        "html": lambda: rendering.as_html(report),
    }
    text = ways[arguments.output or "table"]()
    return text if text.endswith("\n") else f"{text}\n"


def _serve(arguments: argparse.Namespace) -> int:
    given = [flag for field, flag in _ONCE.items() if getattr(arguments, field) is not None]
    if given:
        print(
            f"{typed_as('evictor')}: {', '.join(given)}: only for a single report: add --once, or --from FILE",
            file=sys.stderr,
        )
        return WRONG_USAGE
    settings = settings_of(EvictorSettings, arguments, typed_as("evictor"))
    logs.configure(settings.log_level, settings.log_format)

    # numpy's linear algebra is never called: its threads, one per core of the node, only cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from moorage.evictor import service  # after the settings, so that a wrong one is reported at once
    from moorage.kube.errors import KubeError
    from moorage.ops import aio, health

    known = (configuration.SettingsError, KubeError, health.HealthError)
    return aio.run(lambda: service.run(settings), known=known, grace=settings.stop_grace)
