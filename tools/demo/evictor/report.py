"""The first half of the demo: the output of ``moorage evictor --once``, run as an administrator."""

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
"""Number of reasons shown. Reasons that hold nodes come first, and then those that keep the most nodes."""


@dataclass(frozen=True)
class Report:
    """The content of the report.

    Attributes:
        nodes: number of nodes.
        going: the nodes that could be emptied together.
        kept: the reason why a node may not be emptied, by node.
        total: price of all nodes per hour.
        freed: price per hour of the nodes that could be emptied.
        moved: number of pods that would move.
        reasons: sentences about why the other nodes stay.
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
        """The report as one sentence."""
        part = 100 * self.freed / self.total if self.total else 0
        return (
            f"moorage evictor --once: {len(self.going)} of {self.nodes} nodes could go, which saves {self.freed:.2f} "
            f"of {self.total:.2f} an hour ({part:.0f} %); {self.moved} pods would move"
        )


def ask(kubeconfig: Path, environment: Mapping[str, str]) -> Report:
    """Run the command.

    Args:
        kubeconfig: of an administrator.
        environment: the command's whole environment.

    Raises:
        DemoError: the command failed, or could not read everything.
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
