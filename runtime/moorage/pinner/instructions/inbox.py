"""The instructions that have no final answer yet, by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from moorage.protocol import Instruction, PodResult

from ..refusal import Refusal


@dataclass(slots=True)
class Open:
    """One instruction under way.

    Attributes:
        instruction: as received last.
        received: when it was first (monotonic seconds).
        results: what is final of single pods, by uid.
        tries: how often it could not be judged.
        trouble: what has hindered it so far; its answer when its deadline comes.
        looked_up: whether its pods were read from the API server where the cache does not know them.
        reservation: uid of the reservation that it was accepted with; empty when there was none.
    """

    instruction: Instruction
    received: float
    results: dict[str, PodResult] = field(default_factory=dict)
    tries: int = 0
    trouble: Refusal | None = None
    looked_up: bool = False
    reservation: str = ""


class Left(NamedTuple):
    """What is left of a node's instructions.

    Attributes:
        unjudged: whether some are still to be judged.
        deadline: when the next one is too late; None when there is none.
    """

    unjudged: bool
    deadline: datetime | None


class Inbox:
    """Keeps instructions until they have their final answer; ``Answers`` gives it.

    Args:
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._unjudged: dict[str, dict[str, Open]] = {}  # node to instructions, by id
        self._accepted: dict[str, dict[str, Open]] = {}  # likewise
        self._received: dict[str, float] = {}

    def receive(self, instruction: Instruction) -> None:
        """Keep an instruction until its node is looked at; a repetition takes the place of the first."""
        unjudged = self._unjudged.setdefault(instruction.node, {})
        unjudged.pop(instruction.id, None)
        received = self._received.setdefault(instruction.id, self._monotonic())
        unjudged[instruction.id] = Open(instruction, received)

    def dequeue(self, node: str) -> list[Open]:
        """The instructions for a node that were not judged yet, in the order of their positions."""
        found = self._unjudged.pop(node, {})
        return sorted(found.values(), key=lambda each: each.instruction.position)

    def requeue(self, node: str, found: list[Open]) -> None:
        """Judge these again later."""
        for each in found:
            self._unjudged.setdefault(node, {}).setdefault(each.instruction.id, each)

    def accept(self, each: Open) -> None:
        """Keep an instruction that was judged until what it says is done."""
        self._accepted.setdefault(each.instruction.node, {})[each.instruction.id] = each

    def close(self, each: Open) -> None:
        """Forget an instruction that has its final answer."""
        instruction = each.instruction
        accepted = self._accepted.get(instruction.node, {})
        accepted.pop(instruction.id, None)
        if not accepted:
            self._accepted.pop(instruction.node, None)
        self._received.pop(instruction.id, None)

    # --- reading ---

    def accepted(self, node: str) -> tuple[Open, ...]:
        """The instructions for a node that were accepted."""
        return tuple(self._accepted.get(node, {}).values())

    def all(self, node: str) -> Iterator[Open]:
        """All instructions for a node."""
        yield from self._unjudged.get(node, {}).values()
        yield from self._accepted.get(node, {}).values()

    def left(self, node: str) -> Left:
        """What is left of a node's instructions."""
        deadline = min((each.instruction.deadline for each in self.all(node)), default=None)
        return Left(bool(self._unjudged.get(node)), deadline)

    def received(self, instruction_id: str) -> float | None:
        """When an instruction that is under way was received (monotonic seconds)."""
        return self._received.get(instruction_id)
