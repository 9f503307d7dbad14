"""The first half of the demo: what ``moorage evictor --once`` says, asked by an administrator as from a shell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.demo.common.programs import ROOT
from tools.demo.errors import DemoError

from . import settings

_REASONS = 5
"""So many reasons are told: those that hold nodes before those of the choice, and each by how many nodes it keeps."""


@dataclass(frozen=True)
class Report:
    """What is promised.

    Attributes:
        nodes: how many nodes there are.
        going: the nodes that could go, all at the same time.
        kept: why others may not go at all, by node.
        total: what all nodes cost an hour.
        freed: what those cost that could go.
        moved: how many pods would move.
        reasons: sentences about what keeps the others.
    """

    nodes: int
    going: frozenset[str]
    kept: Mapping[str, str]
    total: float
    freed: float
    moved: int
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The same as one sentence."""
        part = 100 * self.freed / self.total if self.total else 0
        return (
            f"moorage evictor --once: {len(self.going)} of {self.nodes} nodes could go, which saves {self.freed:.2f} "
            f"of {self.total:.2f} an hour ({part:.0f} %); {self.moved} pods would move"
        )


def ask(kubeconfig: Path, environment: Mapping[str, str]) -> Report:
    """Run the command.

    Args:
        kubeconfig: an administrator's.
        environment: the command's whole environment.

    Raises:
        DemoError: it failed, or did not see everything.
    """
    command = ["evictor", "--once", "-o", "json", f"--kubeconfig={kubeconfig}", *settings.report_flags()]
    done = subprocess.run(
        [sys.executable, "-m", "moorage.cli", *command],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"moorage evictor --once ended with exit code {done.returncode}: {done.stderr or done.stdout}")
    return read(json.loads(done.stdout))


def read(document: Mapping[str, Any]) -> Report:
    """The report as JSON (docs/reference/evictor-report.md)."""
    return Report(
        nodes=document["nodes"],
        going=frozenset(each["name"] for each in document["chosen"]),
        kept={each["name"]: _why(each) for each in document["others"] if not each["mayGo"]},
        total=document["total"],
        freed=document["freed"],
        moved=document["moved"],
        reasons=tuple(_reasons(document)),
    )


def _why(node: Mapping[str, Any]) -> str:
    whys = [*node["reasons"], *(why for held in node["holders"] for why in held["reasons"])]
    return str(whys[0]["sentence"]) if whys else "it may not be emptied"


def _reasons(document: Mapping[str, Any]) -> Iterator[str]:
    holding = sorted(document["holding"], key=lambda each: bool(each["about"] == "choice"))
    for each in holding[:_REASONS]:
        nodes = f"{each['nodes']} node{'' if each['nodes'] == 1 else 's'}"
        pod = each["example"]["pod"]
        yield f"{nodes} kept: {each['sentence']}{f' ({pod})' if pod else ''}"
