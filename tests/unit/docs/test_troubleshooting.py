"""The troubleshooting guide answers every possible log line, and no line that no program writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moorage.drain.reasons import Effect, Reason
from moorage.evictor.candidates import NodeReason
from moorage.evictor.compaction import KeptReason
from moorage.pinner.stream.connection import Cause
from moorage.protocol import ReasonCode
from tests.unit.docs.log_sentences import ALL, FAULTS, Package

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/guides/troubleshooting.md").read_text()
SYMPTOMS, LINES = PAGE.split("\n## By log line\n")

PUBLISHED_LINES = (
    "node placeholder created",
    "pod pinned",
    "node placeholder not found",
    "pinning pod",
    "node placeholder deleted",
    "failed streaming pod pinning actions, restarting...",
    "http: TLS handshake error from 10.0.1.135:48024: EOF",
)
"""What the closed product's documentation lists as the most important log entries."""

PUBLISHED_SYMPTOMS = ("OutOfcpu", "OutOfmemory", "OutOf{resource}", "NodeAffinity", "Evictor policy")
"""What its sections on troubleshooting are about."""

UNANSWERED = frozenset(
    {
        "event without type, reason, action or object not recorded",  # a programming error that tests find
        "kind is not served, trying again later",  # never above level info
    }
)
"""Lines without any action for an operator."""


@pytest.fixture(scope="module")
def package() -> Package:
    return Package(ROOT / "runtime/moorage")


def listed() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", LINES, re.MULTILINE)


def test_every_published_line_and_symptom_has_an_answer() -> None:
    assert set(PUBLISHED_LINES) <= set(listed())
    headings = " ".join(re.findall(r"^### .*", SYMPTOMS, re.MULTILINE))
    assert all(symptom in headings for symptom in PUBLISHED_SYMPTOMS)


def test_every_line_that_tells_of_a_fault_has_an_answer(package: Package) -> None:
    written = set(package.sentences(FAULTS))
    assert len(written) > 50
    assert sorted(written - set(listed()) - UNANSWERED) == []
    assert written >= UNANSWERED
    assert not UNANSWERED & set(listed())


def test_every_line_on_the_page_is_written_by_some_program(package: Package) -> None:
    written = [re.escape(each).replace("%s", ".+") for each in package.sentences(ALL)]
    assert [line for line in listed() if not any(re.fullmatch(each, line) for each in written)] == []
    assert len(listed()) == len(set(listed()))


def test_lines_that_operations_quotes_are_written(package: Package) -> None:
    page = " ".join((ROOT / "docs/guides/operations.md").read_text().split())
    quoted = set(re.findall(r"log line `([^`]+)`|is `([^`]+trying again)`|\(`([^`]+listing again)`\)", page))
    lines = {line for groups in quoted for line in groups if line}
    assert len(lines) > 3
    assert lines <= set(package.sentences(FAULTS))


def test_every_cause_of_a_broken_stream_has_an_answer() -> None:
    section = SYMPTOMS.split("### The stream does not connect\n")[1].split("\n### ")[0]
    _, *causes = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert causes == [each.value for each in Cause]


def test_every_reason_that_stops_a_cycle_has_an_answer() -> None:
    section = SYMPTOMS.split("### The evictor's cycle stops\n")[1].split("\n### ")[0]
    stopping = [each.name for each in Reason if each.effect is Effect.STOPS]
    assert re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE) == stopping


def test_every_code_on_the_page_is_one_of_ours() -> None:
    known = {each.name for codes in (ReasonCode, Reason, KeptReason, NodeReason) for each in codes}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|QUIET|NEEDED|REFILLED|UNCORDONED|UNTAINTED|TIMEOUT)`", PAGE))
    assert len(named) > 20
    assert {each for each in named if not each.startswith("MOORAGE_")} <= known


def test_every_message_of_a_stopped_reservation() -> None:
    section = SYMPTOMS.split("### NodeReservation is Stopped\n")[1].split("\n### ")[0]
    said = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    source = "".join(path.read_text() for path in (ROOT / "runtime/moorage/pinner").rglob("*.py"))
    assert said
    assert [each for each in said if each not in source] == []


def test_what_a_refused_installation_says() -> None:
    section = SYMPTOMS.split("### The installation is refused\n")[1].split("\n### ")[0]
    said = re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)
    templates = "".join(path.read_text() for path in (ROOT / "charts").rglob("*.tpl"))
    helms_own = {
        "values don't meet the specifications of the schema(s)",
        'conflict with "kubectl"',
        "invalid ownership metadata",
    }
    assert set(said) >= helms_own
    assert [each for each in said if each not in helms_own and each not in templates] == []
