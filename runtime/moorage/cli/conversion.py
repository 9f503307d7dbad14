"""Reads a file for ``moorage convert``, and writes what becomes of it."""

from __future__ import annotations

import argparse
import sys

from moorage.files import CHARTS, dialect, holders, languages, values
from moorage.files.converting import Converted, convert
from moorage.files.mistakes import FileMistakes
from moorage.files.yamlfile import Document, parse

from .reading import Unreadable, read

MISTAKES = 1
UNREADABLE = 2
HEAD = """\
# Values of the chart moorage, made by `moorage convert values`:
# helm upgrade --install moorage moorage/moorage -n castai-agent -f FILE
"""


def run(arguments: argparse.Namespace) -> int:
    """Convert a file, and say what is left out of it.

    Returns:
        The exit code.
    """
    name = "<stdin>" if arguments.file == "-" else arguments.file
    data = b""
    try:
        data = values.without_header(read(arguments.file))
        document = _parsed(name, data)
        if (tool := holders.holder(document)) is not None:
            return _refused(f"{name}: is {tool.kind}: give the values in it alone, in a file of their own")
        made = convert(name, document, arguments.chart)
    except Unreadable as error:
        return _refused(f"{name}: {error}")
    except FileMistakes as error:
        if why := languages.other(data):
            return _refused(f"{name}: {why}")
        for each in error.mistakes:
            print(each.located(name), file=sys.stderr)
        return MISTAKES
    if made is None and (why := languages.other(data)):
        return _refused(f"{name}: {why}")
    if made is None:
        return _refused(f"{name}: its keys do not show which chart they are for; add --chart {'|'.join(CHARTS)}")
    print(HEAD + dialect.dump(made.values), end="")
    _say(name, made)
    return 0


def _parsed(name: str, data: bytes) -> Document:
    return parse(name, data, max_bytes=values.MAX_BYTES, merge=True, letters=True)


def _refused(sentence: str) -> int:
    print(f"moorage convert: {sentence}", file=sys.stderr)
    return UNREADABLE


def _say(name: str, made: Converted) -> None:
    for each in sorted(made.left_out, key=lambda found: (found.line, found.column)):
        print(f"{each.located(name)} (left out)", file=sys.stderr)
    for each in made.remarks:
        print(each.located(name), file=sys.stderr)
