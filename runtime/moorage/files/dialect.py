"""YAML as Helm and kubectl read it, which is neither 1.1 nor 1.2: their library is https://go.yaml.in/yaml/v2."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"

_NAMES: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_WHOLE = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_BASES = (16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_HALF = "\ud800"
_HALVES = re.compile("[\ud800-\udfff]")
_LONGEST_WHOLE = 80
"""No number of 64 bits is longer, in any base."""


def value(text: str) -> str | bool | int | float | None:
    """What a plain scalar without a tag is: `resolve` of the library. A date and ``<<`` stay texts.

    Args:
        text: the scalar, which is not in quotes.
    """
    if text in _NAMES:
        return _NAMES[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text if text[0] == "." else text.replace("_", "")
    if (whole := _whole(plain)) is not None:
        return whole
    found = float(plain) if _FLOAT.fullmatch(plain) else math.inf
    return found if math.isfinite(found) else text


def _whole(plain: str) -> int | None:
    """A whole number of 64 bits, signed or not; larger ones are no whole numbers to the library."""
    match = _WHOLE.fullmatch(plain) if len(plain) <= _LONGEST_WHOLE else None
    if match is None:
        return None
    sign, *digits = match.groups()
    number = next(int(each, base) for each, base in zip(digits, _BASES, strict=True) if each)
    number = -number if sign == "-" else number
    return number if -(1 << 63) <= number < (1 << (63 if sign else 64)) else None


def tag(value: object) -> str:
    """The tag of a value, without its prefix."""
    names = {bool: "bool", int: "int", float: "float", type(None): "null"}
    return names.get(type(value), "str")


class _Resolving:
    def resolve(self, kind: type[yaml.Node] | None, text: str, implicit: tuple[bool, bool]) -> str:
        if kind is not yaml.ScalarNode or not implicit[0]:
            found: str = super().resolve(kind, text, implicit)  # type: ignore[misc]
            return found
        return TAG + ("merge" if text == "<<" else tag(value(text)))


class Loader(_Resolving, yaml.SafeLoader):
    """Reads plain scalars, tabs and escapes as the library does. The names of its methods are PyYAML's."""

    def scan_to_next_token(self) -> None:
        """Tabs part tokens, as in JSON that is indented by them; they do not indent blocks."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: yaml.Mark) -> list[str] | None:
        """Tabs inside a line are part of a plain scalar, and at its end they are not."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        blanks: str = self.prefix(length)
        if "\t" in blanks:
            self.forward(length)
            if self.peek() not in "#\0\r\n\x85\u2028\u2029":
                return [blanks]
        return super().scan_plain_spaces(indent, start_mark)

    def scan_flow_scalar_non_spaces(self, double: bool, start_mark: yaml.Mark) -> list[str]:
        """An escape stands for a whole character. JSON may write one as two halves, and the library refuses them."""
        try:
            chunks: list[str] = super().scan_flow_scalar_non_spaces(double, start_mark)
        except (ValueError, OverflowError):
            chunks = [_HALF]
        if any(_HALVES.search(each) for each in chunks):
            mark = self.get_mark()
            problem = "an escape stands for no character: write the character itself"
            raise yaml.scanner.ScannerError(None, None, problem, mark)
        return chunks

    def process_directives(self) -> Any:
        """Both tools part documents before they read them, and a directive is a document without content then."""
        if self.check_token(yaml.DirectiveToken):
            problem = "Helm and kubectl take no line that begins with %: leave it out"
            raise yaml.parser.ParserError(None, None, problem, self.peek_token().start_mark)  # type: ignore[no-untyped-call]
        return super().process_directives()  # type: ignore[no-untyped-call]


class _Dumper(_Resolving, yaml.SafeDumper):
    """Puts into quotes what the library takes for something else than a text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """Lines stay lines: a text of several is most often a file."""
    return dumper.represent_scalar(f"{TAG}str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def dump(value: object) -> str:
    """A document of YAML in ASCII that means the same to Helm, kubectl and ``yamlfile``; keys keep their order.

    Args:
        value: of maps, lists, texts and numbers.
    """
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False)
    return text
