"""``moorage explain``: everything about one node or pod of a cluster, or of a dump of it."""

from __future__ import annotations

import argparse
import sys

from moorage.ops import configuration
from moorage.ops.settings import EvictorSettings

from . import looking
from .looking import FAILED, SERVICE, Ended
from .parser import WRONG_USAGE, Parser, make

PROG = "moorage explain"
EXAMPLES = """\
  moorage explain node ip-10-0-3-7.ec2.internal      may it be emptied, what holds it, where would its pods go
  moorage explain pod shop/web-7d9c5b8f6-x2x7p       may it be evicted, and where would the next one run
  moorage explain pod shop/web-0 --from cluster.json -o json
                                                     out of a dump, for scripts"""
EXIT_CODES = """\
exit codes:
  0    explained
  1    there is none of that name, or nothing to look at
  2    wrong usage, settings, rules or prices
  3    explained, but something could not be seen
  130  interrupted by Ctrl-C"""


def parser(prog: str) -> Parser:
    """The command's arguments."""
    description = "Says of one node or pod whether it may go, everything that holds it, and where pods would go."
    made = make(prog, description, EXAMPLES, EXIT_CODES)
    made.add_argument("kind", choices=["node", "pod"], help="what it is")
    made.add_argument("name", metavar="NAME", help="of a node; of a pod NAMESPACE/NAME")
    looking.add_arguments(made)
    made.add_argument("-o", "--output", choices=["text", "json"], default="text", help="text or json")
    configuration.add_flags(made, EvictorSettings, without=SERVICE)
    return made


def main(arguments: argparse.Namespace) -> int:
    """Look, and explain."""
    if arguments.kind == "pod" and "/" not in arguments.name:
        print(f"{PROG}: pods are named with their namespace, like shop/{arguments.name}", file=sys.stderr)
        return WRONG_USAGE
    try:
        return _explain(arguments)
    except Ended as ended:
        return ended.code


def _explain(arguments: argparse.Namespace) -> int:
    settings = looking.settings_of(arguments, PROG)
    seen, _ = looking.look_once(arguments, settings, PROG)
    from moorage.evictor.report import UnknownName, explain_node, explain_pod

    explain = explain_node if arguments.kind == "node" else explain_pod
    try:
        found = explain(seen, arguments.name)
    except UnknownName as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return FAILED
    text = found.json() if arguments.output == "json" else found.text(looking.colours())
    print(text.rstrip("\n"))
    return looking.code_of(seen)
