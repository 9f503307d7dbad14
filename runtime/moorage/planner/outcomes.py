"""The results of a plan so far, for views and for the exit code. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from moorage.protocol import (
    Ack,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Outcome,
    PinPods,
    PodResult,
    Release,
)

from .instruction_store import InstructionStore

NAMES = {
    CreatePlaceholder: "create placeholder",
    DeletePlaceholder: "delete placeholder",
    PinPods: "pin pods",
    ExpectPods: "expect pods",
    Release: "release",
}


@dataclass(slots=True)
class Row:
    """The results of one node in one cluster.

    Attributes:
        node: its name.
        cluster: the cluster of the acknowledgements; empty before the first one.
        placeholder: the result of the placeholder; None when none is planned.
        pinned: the number of pods whose pin was applied.
        pods: the number of pods to pin.
        outcomes: the results of all instructions for this node.
        trouble: what was rejected or has failed, as sentences.
    """

    node: str
    cluster: str
    placeholder: str | None = None
    pinned: int = 0
    pods: int = 0
    outcomes: list[Outcome | None] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``trouble``, ``done``, ``working`` or ``waiting``."""
        if self.trouble:
            return "trouble"
        if all(outcome is Outcome.APPLIED for outcome in self.outcomes):
            return "done"
        return "working" if any(self.outcomes) else "waiting"


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of instructions by result."""

    instructions: int
    applied: int
    rejected: int
    failed: int

    @property
    def open(self) -> int:
        """Instructions without a final acknowledgement."""
        return self.instructions - self.applied - self.rejected - self.failed


def rows(store: InstructionStore) -> list[Row]:
    """One row per cluster and node, in the plan's order."""
    result: dict[tuple[str, str], Row] = {}
    for cluster, instruction, ack in _answers(store):
        row = result.setdefault((cluster, instruction.node), Row(instruction.node, cluster))
        _add(row, instruction, ack)
    return list(result.values())


def counts(store: InstructionStore) -> Counts:
    """The counts over all clusters."""
    outcomes = [ack.outcome if ack is not None else None for _, _, ack in _answers(store)]
    return Counts(
        len(outcomes),
        outcomes.count(Outcome.APPLIED),
        outcomes.count(Outcome.REJECTED),
        outcomes.count(Outcome.FAILED),
    )


def troubles(store: InstructionStore) -> list[str]:
    """A sentence for each instruction that was rejected, has failed, or has no final acknowledgement."""
    result = []
    for cluster, instruction, ack in _answers(store):
        what = f"{NAMES[type(instruction.action)]} on {instruction.node}"
        where = f" ({cluster})" if len(store.clusters) > 1 else ""
        if ack is None:
            result.append(f"{what}{where}: not acknowledged")
        elif not ack.outcome.final:
            result.append(f"{what}{where}: accepted, and not finished")
        elif ack.outcome is not Outcome.APPLIED:
            result += [f"{what}{where}: {sentence}" for sentence in sentences(ack)]
    return result


def sentences(ack: Ack) -> Iterator[str]:
    """The problems of an acknowledgement, per pod if pods have results of their own."""
    bad = [pod for pod in ack.pods if pod.outcome.final and pod.outcome is not Outcome.APPLIED]
    if not bad:
        yield f"{ack.reason.name}: {ack.text}"
    for pod in bad:
        yield f"pod {pod.pod}: {pod.reason.name}: {text(pod)}"


def text(result: PodResult) -> str:
    """The sentence of the acknowledgement, or that of its reason."""
    return result.sentence or result.reason.sentence


def _answers(store: InstructionStore) -> Iterator[tuple[str, Instruction, Ack | None]]:
    for cluster in store.clusters or ("",):
        for instruction in store:
            yield cluster, instruction, store.ack(cluster, instruction)


def _add(row: Row, instruction: Instruction, ack: Ack | None) -> None:
    outcome = ack.outcome if ack is not None else None
    row.outcomes.append(outcome)
    match instruction.action:
        case CreatePlaceholder():
            row.placeholder = outcome.value if outcome is not None else "sent"
        case PinPods(_, pods):
            row.pods += len(pods)
            if ack is not None:
                single = sum(pod.outcome is Outcome.APPLIED for pod in ack.pods)
                row.pinned += len(pods) if outcome is Outcome.APPLIED else single
        case _:
            pass
    if ack is not None and ack.outcome in (Outcome.REJECTED, Outcome.FAILED):
        row.trouble += sentences(ack)
