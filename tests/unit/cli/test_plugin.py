"""``kubectl moorage``: under the plug-in's name, help and errors show the typed command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moorage.cli.main import COMMANDS
from moorage.cli.parser import PLUGIN

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The console script, as an installer writes it."""
    path = tmp_path / "bin" / PLUGIN
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom moorage.cli import main\nsys.exit(main())\n")
    path.chmod(0o755)
    return path


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_usage_and_examples_say_what_was_typed(plugin: Path, name: str) -> None:
    done = run(plugin, name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: kubectl moorage {name}")
    examples = done.stdout.partition("\nexamples:\n")[2].partition("\n\n")[0]
    assert f"\n  kubectl moorage {name}" in f"\n{examples}"
    assert "\n  moorage " not in f"\n{examples}"


def test_what_examples_mean_stays_in_one_column(plugin: Path) -> None:
    here, there = (
        run(*command, "pins", "--help").stdout for command in ([plugin], [sys.executable, "-m", "moorage.cli"])
    )
    for words in ("every node with", "one of them in full", "everything, for scripts"):
        (ours,) = (line for line in here.splitlines() if words in line)
        (plain,) = (line for line in there.splitlines() if words in line)
        assert ours.index(words) == plain.index(words) + len("kubectl ")


def test_errors_begin_with_what_was_typed(plugin: Path) -> None:
    done = run(plugin, "pinz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kubectl moorage: there is no command 'pinz': did you mean pins?")
    done = run(plugin, "pins", "--kubeconfig", "/nowhere")
    assert done.stderr.startswith("kubectl moorage pins: ")
