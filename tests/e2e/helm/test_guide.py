"""The values in the guides are valid for the charts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.helm import commands
from tests.e2e.helm.site import RUNTIME

GUIDES = RUNTIME.parent / "docs" / "guides"
GUIDE = (GUIDES / "install.md").read_text()
MOVING = (GUIDES / "moving-over.md").read_text()


def test_the_guides_planner_values_are_valid(tmp_path: Path) -> None:
    values = tmp_path / "planner.yaml"
    values.write_text(GUIDE.partition("```yaml\n")[2].partition("```")[0])
    command = [sys.executable, "-m", "moorage.cli", "validate", "values", "--chart", "moorage-planner", str(values)]
    done = subprocess.run(command, cwd=RUNTIME, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [commands.REPO_ADD, commands.REPO_UPDATE, commands.INSTALL, commands.SELF_MANAGED, commands.LIST],
)
def test_the_guide_says_what_was_tested(command: str) -> None:
    assert command in GUIDE


@pytest.mark.parametrize(
    "command",
    [commands.REPO_ADD, commands.REPO_UPDATE, commands.INSTALL, commands.FRESH_KEY, *commands.OWN, *commands.BACK],
)
def test_the_way_over_and_back_is_the_one_that_was_tested(command: str) -> None:
    assert command in MOVING.replace(" \\\n ", "")
