"""What a user or a program sees of a plan: a table on a terminal, or a line of JSON per event."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TextIO

from moorage.protocol import Ack, Instruction

from . import outcomes
from .instruction_store import InstructionStore
from .plan import Plan
from .stage import Stage


class View(Protocol):
    """Receives the events, in order.

    Attributes:
        live: whether ``refresh`` must be called at intervals.
    """

    live: bool

    def serving(self, plan: Plan) -> None:
        """A plan is served."""

    def rebalancing(self, stage: Stage, why: str) -> None:
        """A rebalancing has reached another stage."""

    def broken(self, error: str) -> None:
        """The file has changed and is invalid. The plan before it is still served."""

    def acknowledged(self, cluster: str, instruction: Instruction, ack: Ack) -> None:
        """A pinner has sent an acknowledgement."""

    def refresh(self) -> None:
        """Called at intervals."""

    def close(self, summary: list[str] | None) -> None:
        """The end, with the problems: empty when there are none, None when no summary is wanted."""


def choose(store: InstructionStore, output: str, pinners: Callable[[], list[str]]) -> View:
    """The view for a setting; ``auto`` is a table on a terminal."""
    if output == "table" or (output == "auto" and sys.stdout.isatty()):
        from .table import TableView  # rich takes a moment to load

        return TableView(store, pinners)
    return LinesView(store, sys.stdout)


class LinesView:
    """One JSON object per line.

    Args:
        store: the instructions, for the counts at the end.
        out: the stream to write to.
    """

    live = False

    def __init__(self, store: InstructionStore, out: TextIO) -> None:
        self._store = store
        self._out = out

    def serving(self, plan: Plan) -> None:
        """``{"event": "serving", "plan", "epoch", "digest", "nodes"}``."""
        self._line("serving", plan=plan.name, epoch=self._store.epoch, digest=plan.digest, nodes=len(plan.nodes))

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
        """Nothing to do: lines are written with the events."""

    def close(self, summary: list[str] | None) -> None:
        """``{"event": "summary", "instructions", "applied", "rejected", "failed", "open", "trouble"}``."""
        if summary is None:
            return
        counts = outcomes.counts(self._store)
        self._line(
            "summary",
            instructions=counts.instructions,
            applied=counts.applied,
            rejected=counts.rejected,
            failed=counts.failed,
            open=counts.open,
            trouble=summary,
        )

    def _line(self, event: str, **fields: object) -> None:
        moment = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        print(json.dumps({"time": moment, "event": event, **fields}, ensure_ascii=False), file=self._out, flush=True)
