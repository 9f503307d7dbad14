"""Values are to `moorage validate` what they are to Helm: one process of Helm says what it reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moorage.files.dialect import dump
from moorage.files.holders import Held, as_values
from moorage.files.mistakes import FileMistakes
from moorage.files.yamlfile import Document, parse
from tests.charts.rendering import Refused, render

PLAIN = """\
0 00 08 017 0o17 0x1f 0X1F 0b101 -0b101 0b2 +1 -1 1_000 _1 1__0 1e3 1E3 1e+3 1.5e-3 12e45 12e4567 1. .5 -.5 . -a + 1.10
1:30 2026-11-30 9223372036854775807 9223372036854775808 18446744073709551616 -9223372036854775809 99999999999999999999
y Y n N yes Yes YES yEs no on On off OFF true True tRUE false ~ null Null NULL nULL << a 1a .a 0xg =
"""
SCALARS = PLAIN.split()
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: echo\nversion: 0.0.0\n",
    "templates/echo.yaml": "kind: Echo\nmetadata: {name: echo}\nread: {{ toJson .Values | quote }}\n",
}


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    """A chart that writes its values as it was given them."""
    for name, text in CHART.items():
        file = tmp_path / "echo" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "echo"


def by_helm(chart: Path, text: str) -> object:
    """What Helm reads in a file of values."""
    file = chart / "values.yaml"
    file.write_text(text)
    return json.loads(render(chart).one("Echo")["read"])


def as_helm_keeps_it(value: object) -> object:
    """All numbers of Helm have 64 bits and a point."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_plain_scalar_is_what_helm_takes_it_for(echo: Path) -> None:
    text = "".join(f"k{index}: {{ in: {each} }}\n" for index, each in enumerate(SCALARS))
    read = parse("values.yaml", text.encode(), letters=True).value
    helm = by_helm(echo, text.replace("{ in: ~ }", "{}").replace("{ in: null }", "{}"))
    assert isinstance(helm, dict)
    for index, each in enumerate(SCALARS):
        ours, theirs = (as_helm_keeps_it(found[f"k{index}"].get("in")) for found in (read, helm))
        assert (ours, type(ours)) == (theirs, type(theirs)), each


def test_a_text_that_is_written_is_a_text_to_helm(echo: Path) -> None:
    texts = {f"k{index}": each for index, each in enumerate((*SCALARS, "", "ä😀\u2028", "a\tb", "#", "a: b", " a"))}
    assert by_helm(echo, dump(texts)) == texts
    assert parse("values.yaml", dump(texts).encode(), letters=True).value == texts


NAMES = {
    "a": "1",
    "b.c": "-1",
    "b.d.e": "01",
    r"n.k\.io/x": "linux",
    "l[0].x": "TRUE",
    "l[2]": "null",
    "m[0][1]": "{a,2,false}",
    "f": "1.5",
    "g": "99999999999999999999",
    "h": "{}",
    "i": "",
    "j": "+7",
    "k": "1e3",
    "o": "0",
}


def test_names_and_values_are_what_set_makes_of_them(echo: Path) -> None:
    parameters = [{"name": name, "value": value} for name, value in NAMES.items()]
    ours = as_values(Document({"p": parameters}, {}), Held(("p",), None, is_list=True)).value
    options = [word for name, value in NAMES.items() for word in ("--set", f"{name}={value}")]
    assert json.loads(render(echo, options=options).one("Echo")["read"]) == ours


@pytest.mark.parametrize(
    "text",
    [
        '{\n\t"a": 1,\n\t"b": {\t"c": [\t]\t}\n}\n',
        "a:\t1\t\nb: x\ty\t# z\n\nc:\t\n  d: 'e'\t\n",
        "a:\n\tb: c\n",
        "a: b\n\t\nc: d\n",
        "a:\n  b: c\n\td: e\n",
        "a:\n-\tb: c\n",
        r'a: "\ud83d\ude00"',
        r'a: "\U00110000"',
        r'a: "\U0001f600\t\x41"',
        "%YAML 1.2\n---\na: b\n",
        "%YAML 1.1\n---\na: b\n",
        "a: !!null x",
        "a: !!int x",
        "a: !!float 1",
        "a: !!str 1",
    ],
)
def test_what_helm_cannot_read_is_refused_and_all_else_is_the_same(echo: Path, text: str) -> None:
    try:
        helm = by_helm(echo, text)
    except Refused:
        with pytest.raises(FileMistakes):
            parse("values.yaml", text.encode(), letters=True)
    else:
        assert parse("values.yaml", text.encode(), letters=True).value == helm
