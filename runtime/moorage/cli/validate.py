"""``moorage validate``: every mistake in values, rules or plans, with its place, before anything is installed."""

from __future__ import annotations

import argparse
import sys

from moorage.files import CHARTS, UMBRELLA

from .frame import add_output
from .parser import WRONG_USAGE, Parser, make

KINDS = ("values", "rules", "plan")
EXAMPLES = """\
  moorage validate values --chart castai-pod-pinner values.yaml
                                                     before `helm upgrade --install -f values.yaml`
  helm get values castai-pod-pinner -o yaml | moorage validate values --chart castai-pod-pinner -
                                                     the values of a release
  moorage validate rules evictor-rules.yaml          advanced rules of the evictor
  moorage validate plan -o json plans/*.yaml         for scripts"""
EXIT_CODES = """\
exit codes:
  0    every file is right
  1    a file has mistakes
  2    wrong usage, or a file cannot be read"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = (
        "Lists mistakes in files, each with line and column, what is allowed, and what may have been meant.\n"
        "Checks values as Helm and the charts check them. Installs nothing and contacts no cluster.\n"
        "Values may stand below the name of a chart, and in files of Flux, Argo CD, kustomize, Helmfile, Rancher and\n"
        "Pulumi; also beside other documents.\n"
        "Rules may stand in what kubectl gets and applies."
    )
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("kind", choices=KINDS, help="what the files are: values, rules or plan")
    made.add_argument("files", nargs="+", metavar="FILE", help="a YAML or JSON file; - is standard input")
    unset = "unset: told by keys that only one chart has"
    made.add_argument("--chart", choices=(*CHARTS, UMBRELLA), help=f"whose values they are; {unset}")
    add_output(made)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look at each file; all mistakes go to standard output."""
    if arguments.chart and arguments.kind != "values":
        print(f"moorage validate: --chart is for values, not for {arguments.kind}", file=sys.stderr)
        return WRONG_USAGE
    if arguments.files.count("-") > 1:
        print("moorage validate: standard input is there once only", file=sys.stderr)
        return WRONG_USAGE
    from . import validation  # not for --help: YAML and JSON Schema take their time

    return validation.run(arguments)
