"""The guide for those who write a planner shows the example's own lines, and its README's commands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/guides/write-a-planner.md").read_text()
EXAMPLE = (ROOT / "examples/planner/planner.py").read_text().splitlines()
README = (ROOT / "examples/planner/README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", text, re.DOTALL)


def is_in_the_example(block: str) -> bool:
    """Whether these lines stand there one after the other, whatever they are indented by."""
    count = len(block.splitlines())
    parts = (textwrap.dedent("\n".join(EXAMPLE[at : at + count])) for at in range(len(EXAMPLE)))
    return textwrap.dedent(block) in parts


@pytest.mark.parametrize("block", blocks(GUIDE, "python"))
def test_what_the_guide_shows_is_what_the_example_does(block: str) -> None:
    assert is_in_the_example(block), block


def test_the_guide_shows_most_of_the_example() -> None:
    shown = sum(len(block.splitlines()) for block in blocks(GUIDE, "python"))
    assert shown > len(EXAMPLE) / 3
    assert not is_in_the_example("something else")


def test_the_commands_of_the_guide_are_those_of_the_examples_readme() -> None:
    known = {line for block in blocks(README, "sh") for line in block.splitlines()}
    lines = [line for block in blocks(GUIDE, "sh") for line in block.splitlines()]
    assert len(lines) == 4
    assert set(lines) <= known
