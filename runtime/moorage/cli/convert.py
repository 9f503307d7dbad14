"""``moorage convert``: values of the closed product's charts become values of the chart moorage."""

from __future__ import annotations

import argparse

from moorage.files import CHARTS

from .parser import Parser, make

EXAMPLES = """\
  moorage convert values umbrella.yaml > moorage.yaml
  helm upgrade --install moorage moorage/moorage -n castai-agent -f moorage.yaml
                                                     the same settings, without the closed product
  helm get values castai -o yaml | moorage convert values -
                                                     what a release was installed with"""
EXIT_CODES = """\
exit codes:
  0    converted; standard error says what was left out
  1    the file has mistakes; nothing is written to standard output
  2    wrong usage, or a file cannot be read"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Writes values of the chart moorage, made of values of the closed product's umbrella or of one of its charts.\n"
        "What has no effect is left out, and named with its line on standard error. No cluster is asked."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("kind", choices=("values",), help="what the file is")
    made.add_argument("file", metavar="FILE", help="a YAML or JSON file; - is standard input")
    made.add_argument(
        "--chart", choices=CHARTS, help="whose values they are, if they are of one chart whose keys do not say so"
    )
    return made


def main(arguments: argparse.Namespace) -> int:
    """Convert one file."""
    from . import conversion  # not for --help: YAML and JSON Schema take their time

    return conversion.run(arguments)
