"""The real helm and kubectl parse the commands on the pages, and their objects are those that the charts create."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts.rendering import EVICTOR, NAMESPACE, PINNER, PLANNER, render
from tests.unit.docs.commands import Command, all_of_them
from tools.toolchain import ensure

OTHERS = {
    NAMESPACE,
    f"{PINNER}-check",  # while helm test runs
    f"{PINNER}-leader-election",
    f"{PINNER}.{NAMESPACE}",
}
"""Names that no rendered object has."""


def of(program: str) -> list[Command]:
    """The commands of a program, once each."""
    found = {each.words: each for each in all_of_them() if each.words[0] == program and each.words[1] != "moorage"}
    return list(found.values())


def read_by(binary: Path, command: Command, home: Path) -> None:
    """Let a program read a command without doing it: options it does not know are refused before its help is shown."""
    words = [*command.words[1:]]
    inner = words.index("--") if "--" in words else len(words)
    words.insert(inner, "--help")
    done = subprocess.run(
        [str(binary), *words], capture_output=True, text=True, check=False, env={"HOME": str(home)}, cwd=home
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_helm_knows_every_option(helm: str, tmp_path: Path) -> None:
    binary = ensure([helm])[helm]
    commands = of("helm")
    assert len(commands) > 15
    for command in commands:
        if not (helm == "helm3" and "--force-conflicts" in command.words):  # Helm 4's: 3 applies on the client
            read_by(binary, command, tmp_path)


def test_kubectl_knows_every_option(tmp_path: Path) -> None:
    binary = ensure(["kubectl"])["kubectl"]
    commands = of("kubectl")
    assert len(commands) > 25
    for command in commands:
        read_by(binary, command, tmp_path)


def test_a_wrong_option_is_refused(tmp_path: Path) -> None:
    for program in ("helm", "kubectl"):
        verb = {"helm": "upgrade", "kubectl": "get"}[program]
        with pytest.raises(AssertionError):
            read_by(ensure([program])[program], Command("", (program, verb, "--no-such-option")), tmp_path)


def made() -> Iterator[str]:
    """The names of everything that the charts make, of Secrets and Leases that they name, and of their own labels."""
    everything = [
        *(render(chart, {"serviceMonitor": {"enabled": True}}) for chart in (PINNER, EVICTOR, PLANNER)),
        render(PLANNER, {"rebalancing": {"enabled": True}}),
    ]
    for rendered in everything:
        for each in rendered.objects:
            yield each["metadata"]["name"]
        yield from (value for value in rendered.env.values() if isinstance(value, str))


def test_kubectl_is_told_names_that_there_are() -> None:
    names = {*made(), *OTHERS, "node-7"}
    for command in of("kubectl"):
        for word in re.findall(r"(?:castai|moorage)-[a-z.-]+[a-z]", " ".join(command.words)):
            assert word in names, f"{command}: nothing is named {word}"
