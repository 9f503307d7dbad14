"""Commands in the documentation neither discard users' values nor install the closed chart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PATTERNS = ("*.md", "docs/**/*.md", "charts/**/*.md", "charts/**/*.txt", "charts/**/*.tpl", "runtime/moorage/**/*.py")
FILES = [file for pattern in PATTERNS for file in ROOT.glob(pattern)]
KEEP = "--reset-then-reuse-values"
SET = re.compile(r"--set(-string|-json|-file)?[ =]")


def commands(text: str) -> Iterator[str]:
    """Commands that begin with `helm upgrade`, with their continued lines."""
    for line in text.replace("\\\n", " ").splitlines():
        yield from (f"helm upgrade{rest}" for rest in line.split("helm upgrade")[1:])


def test_there_is_something_to_look_at() -> None:
    for name in ("README.md", "docs/guides/install.md", "charts/_shared/_ownership.tpl"):
        assert ROOT / name in FILES
        assert len(list(commands((ROOT / name).read_text()))) >= 2


def test_no_command_discards_earlier_values() -> None:
    for file in FILES:
        text = file.read_text()
        for command in commands(text):
            assert not SET.search(command) or KEEP in command, f"{file}: {command}"
        for match in SET.finditer(text) if file.suffix == ".py" else ():  # sentences are put together of several lines
            assert KEEP in text[max(0, match.start() - 60) : match.start()], f"{file}: {match}"


def test_no_command_names_the_closed_products_repository() -> None:
    for file in FILES:
        text = file.read_text()
        assert "castai-helm/" not in text, file
        assert "repo add castai-helm" not in text, file


def test_the_first_lines_of_the_readme_say_what_is_there() -> None:
    head = " ".join((ROOT / "README.md").read_text().partition("**How.**")[0].split())
    first = ("**For whom.**", "**Works today.**", "**Does not, yet.**", "**Who makes plans.**")
    for said in (*first, "only looks, until you let it act", "kube-scheduler places every pod as before"):
        assert said in head
