"""What a person, or a program, sees of a plan: a table that follows it on a terminal, a line of JSON per event else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TextIO

from moorage.protocol import Ack, Instruction

from . import outcomes
from .instruction_store import Board
from .plan import Plan
from .stage import Stage


class View(Protocol):
    """What happens, told in the order in which it happens."""

    def serving(self, plan: Plan) -> None:
        """A plan is served from now on."""

    def rebalancing(self, stage: Stage, why: str) -> None:
        """A rebalancing has come to another stage."""

    def broken(self, error: str) -> None:
        """The file has changed and is not a plan; the plan before it is served on."""

    def acknowledged(self, cluster: str, instruction: Instruction, ack: Ack) -> None:
        """A pinner has answered."""

    def refresh(self) -> None:
        """Called now and then."""

    def close(self, summary: list[str] | None) -> None:
        """The end; with what went wrong, empty for nothing, None when nobody asks for a summary."""


def choose(board: Board, output: str, pinners: Callable[[], list[str]]) -> View:
    """The view that was asked for; ``auto``: a table on a terminal."""
    if output == "table" or (output == "auto" and sys.stdout.isatty()):
        from .table import TableView  # rich takes a moment to load

        return TableView(board, pinners)
    return LinesView(board, sys.stdout)


class LinesView:
    """One JSON object a line.

    Args:
        board: for the counts at the end.
        out: where to.
    """

    def __init__(self, board: Board, out: TextIO) -> None:
        self._board = board
        self._out = out

    def serving(self, plan: Plan) -> None:
        """``{"event": "serving", "plan", "epoch", "digest", "nodes"}``."""
        self._line("serving", plan=plan.name, epoch=self._board.epoch, digest=plan.digest, nodes=len(plan.nodes))

    def rebalancing(self, stage: Stage, why: str) -> None:
        """``{"event": "rebalancing", "stage", "why"}``."""
        self._line("rebalancing", stage=stage.value, why=why)

    def broken(self, error: str) -> None:
        """``{"event": "plan-broken", "error"}``."""
        self._line("plan-broken", error=error)

    def acknowledged(self, cluster: str, instruction: Instruction, ack: Ack) -> None:
        """``{"event": "acknowledged", "plan", "cluster", "instruction", "action", "node", "outcome", …}``."""
        pods = [
            {
                "pod": str(each.pod),
                "outcome": each.outcome.value,
                "reason": each.reason.name,
                "sentence": outcomes.text(each),
                "node": each.node,
            }
            for each in ack.pods
        ]
        self._line(
            "acknowledged",
            plan=instruction.plan,
            cluster=cluster,
            instruction=instruction.id,
            action=outcomes.NAMES[type(instruction.action)],
            node=instruction.node,
            outcome=ack.outcome.value,
            reason=ack.reason.name,
            sentence=ack.text,
            pods=pods,
        )

    def refresh(self) -> None:
        """Lines are written as things happen."""

    def close(self, summary: list[str] | None) -> None:
        """``{"event": "summary", "instructions", "applied", "rejected", "failed", "open", "trouble"}``."""
        if summary is None:
            return
        found = outcomes.counts(self._board)
        self._line(
            "summary",
            instructions=found.instructions,
            applied=found.applied,
            rejected=found.rejected,
            failed=found.failed,
            open=found.open,
            trouble=summary,
        )

    def _line(self, event: str, **fields: object) -> None:
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        print(json.dumps({"time": moment, "event": event, **fields}, ensure_ascii=False), file=self._out, flush=True)
