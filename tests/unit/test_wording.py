"""Counts with their nouns, sentences after each other; and that every sentence of the programs uses these."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.wording import be, counted, followed

PACKAGE = Path(__file__).parents[2] / "runtime" / "moorage"
NOUNS = (
    "bytes|characters|cycles|days|entries|events|failures|fields|hours|indexes|instructions|labels|levels|lines|minutes"
    "|mistakes|nodes|objects|placeholders|pods|problems|releases|replicas|reservations|resources|rights|rules|seconds"
    "|slots|steps|taints|times|values|volumes"
)
COUNT = re.compile(rf" (?:(?:more|old|new|other|available|late) )?(?:{NOUNS})\b")
ABOVE_ONE = {
    # Sentences about more than is allowed, where at least one is.
    "protocol/validate.py",
    "protocol/codec.py",
    "reservations/merging.py",
    "reservations/reading.py",
    "reservations/destinations.py",
    # Several replicas; the largest file; durations of a Lease; indexes of a Job whose pods run together; a bound in
    # steps; nodes as kube-scheduler counts them (0/1 nodes); pods that ended three times; a flood of instructions;
    # rights of a role.
    "files/evictor.py",
    "files/yamlfile.py",
    "kube/lease.py",
    "evictor/candidates/jobs.py",
    "evictor/report/display.py",
    "evictor/report/explain.py",
    "pinner/decisions/ends.py",
    "pinner/stream/client.py",
    "pinner/commands/check/rights.py",
    # A count of one has a sentence of its own.
    "planner/rebalancing/rebalancing.py",
}


def counts(tree: ast.AST) -> Iterator[str]:
    """Texts in which a value stands before a noun in the plural. Constants are no such values."""
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        for value, after in zip(text.values, text.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            if COUNT.match(str(after.value)) and not ast.unparse(value.value).strip("_").isupper():
                yield ast.unparse(text)


def test_no_sentence_counts_one_nodes() -> None:
    """``moorage.wording.counted`` knows the singular."""
    sources = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    assert sources.keys() > ABOVE_ONE
    found = {name: list(counts(ast.parse(path.read_text("utf-8")))) for name, path in sources.items()}
    assert {name: texts for name, texts in found.items() if texts and name not in ABOVE_ONE} == {}


FOREIGN = re.compile(r"(error|end|said|broken|lacking)|.*\.(strerror|verify_message|message)( or error)?")
"""Names of what another program has said, which may end with a full stop."""


def joined(tree: ast.AST) -> Iterator[str]:
    """Texts in which a sentence comes right after what another program has said."""
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        for value, after in zip(text.values, text.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            if str(after.value).startswith(". ") and FOREIGN.fullmatch(ast.unparse(value.value)):
                yield ast.unparse(text)


def test_what_others_have_said_gets_one_full_stop() -> None:
    """``moorage.wording.followed`` looks at how it ends."""
    found = [text for path in PACKAGE.rglob("*.py") for text in joined(ast.parse(path.read_text("utf-8")))]
    assert found == ["f'{said}. {sentence}'"], "that of moorage.wording.followed"


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "node", "0 nodes"),
        (1, "node", "1 node"),
        (1.0, "more node", "1 more node"),
        (2, "old replica", "2 old replicas"),
        (1234, "pod", "1,234 pods"),
    ],
)
def test_counts(count: float, noun: str, said: str) -> None:
    assert counted(count, noun) == said


def test_a_plural_of_its_own() -> None:
    assert counted(2, "entry", "entries") == "2 entries"
    assert (be(1), be(0), be(2)) == ("is", "are", "are")


@given(st.text(alphabet="ab .?!…:\n", max_size=8))
def test_one_mark_stands_between_two_sentences(text: str) -> None:
    said = followed(text, "See x")
    assert said.endswith("See x")
    between = said.removesuffix("See x")
    if text.strip(" .\n"):
        assert re.search(r"[.?!…:] \Z", between)
        assert not re.search(r"[?!…:][.] \Z", between)
        assert between.startswith(text.rstrip(" .\n"))
