"""The page loads nothing, works without scripts, and shows hostile names as text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from moorage.evictor import report
from moorage.evictor.compaction import History
from moorage.evictor.evaluation import evaluate
from tests.unit.evictor.build import Json, merged, pod
from tests.unit.evictor.compaction.build import replica, replica_set

from .build import ALL, WHERE, inventory, small, typed

_VOID = frozenset(("meta", "br", "hr", "img", "input", "link"))
_SHAPES = frozenset(("rect",))
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "a" * 253,
    "🚢⚓",
    "\x1b[2J\x1b]0;owned\x07",
    "line\nbreak\r",
    "‮gnp.exe",
    "&lt;b&gt;",
    "</style></title></table>",
)


class Page(HTMLParser):
    """Its elements, checked for being closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _SHAPES
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def count(self, tag: str) -> int:
        return sum(each == tag for each, _ in self.tags)


def page(*manifests: Json) -> str:
    return report.as_html(report.build(evaluate(inventory(*manifests), ALL, History()), WHERE))


def harmless(text: str) -> Page:
    found = Page(text)
    assert found.open == []
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "a", "form", "b"}
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "href", "style")], tag
    return found


def test_it_is_one_file() -> None:
    text = report.as_html(report.build(small(), WHERE))
    harmless(text)
    assert not re.search(r"https?:|//|url\(|@import", text)


def test_its_policy_allows_its_own_style_and_nothing_else() -> None:
    text = report.as_html(report.build(small(), WHERE))
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = (each["content"] for tag, each in Page(text).tags if tag == "meta" and "http-equiv" in each)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_tables_have_headers_and_bars_have_words() -> None:
    found = Page(report.as_html(report.build(small(), WHERE)))
    assert all(each.get("scope") in ("col", "row") for tag, each in found.tags if tag == "th")
    assert all(each.get("aria-hidden") == "true" for tag, each in found.tags if tag == "svg")
    assert "50 % → 75 %" in found.text
    assert [each["lang"] for tag, each in found.tags if tag == "html"] == ["en"]
    assert found.count("h1") == 1


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names(name: str) -> None:
    node = merged(typed(name, name), {"metadata": {"labels": {"node.kubernetes.io/instance-type": name}}})
    things = (
        node,
        typed("n2", "a"),
        merged(pod(name, on=name), {"metadata": {"annotations": {"autoscaling.cast.ai/removal-disabled": name}}}),
        replica(f"{name}-2", "n2"),
        replica_set(),
    )
    found = evaluate(inventory(*things), ALL, History())
    told = report.build(found, name)
    text = report.as_html(told)
    shown = "".join(harmless(text).text)
    if name.isprintable():
        assert name in shown
    for each in (text, report.as_table(told), report.as_wide(told), report.explain_node(found, name).text()):
        assert all(char.isprintable() or char == "\n" for char in each), "nothing that moves a cursor"
    assert report.from_json(report.as_json(told)) == told


def test_a_page_of_many_nodes_is_folded() -> None:
    nodes = [typed(f"n{number:03}", "a") for number in range(60)]
    marked = [merged(node, {"spec": {"unschedulable": True}}) for node in nodes[:30]]
    found = harmless(page(*marked, *nodes[30:]))
    assert [each for tag, each in found.tags if tag == "details" and each.get("class") == "group"] == [
        {"class": "group"},
        {"class": "group"},
    ], "more nodes that could go, and those that are cordoned"
