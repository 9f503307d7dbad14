"""A planner: it sends instructions, repeats those without an answer, and checks the pinner's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from moorage.protocol import (
    Ack,
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Owner,
    PinPods,
    PodRef,
    Position,
    Promise,
    Release,
    Slot,
)

from .refusals import Json

OFFER = {"cpu": "4", "memory": "8Gi", "pods": "20"}
BATCH = {"batch": "b"}
"""Labels by which a Node of profile late is known."""


def ref(pod: Json) -> PodRef:
    """A pod as instructions name it."""
    meta = pod["metadata"]
    return PodRef(meta["namespace"], meta["name"], meta["uid"])


class Planner:
    """Issues instructions and keeps their answers.

    Args:
        submit: takes an instruction.
        now: the API server's time.
        seconds: seconds on the clock of the test.
        window: how many instructions may be without any answer at a time; 0 for any number.
    """

    def __init__(
        self,
        submit: Callable[[Instruction], None],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
        *,
        window: int = 0,
    ) -> None:
        self.submit, self._now, self._seconds, self._window = submit, now, seconds, window
        self._epoch, self._sequence = 1, 0
        self.issued: dict[str, Instruction] = {}
        self.acks: list[tuple[float, Ack]] = []
        self.listeners: list[Callable[[Ack], None]] = []
        self.times: defaultdict[str, int] = defaultdict(int)
        self._waiting: list[Instruction] = []
        self._unheard: set[str] = set()

    # --- instructions ---

    def create(self, node: str, *, within: float = 60.0, labels: dict[str, str] | None = None, **more: Any) -> str:
        return self.say(CreatePlaceholder(Promise(node, OFFER, labels or {"pool": "a"}, **more)), within)

    def create_late(self, node: str, *, within: float = 60.0, **known: Any) -> str:
        """Promise a node whose machine brings its own Node, by default one of batch b."""
        return self.create(node, within=within, profile="late", **(known or {"match_labels": BATCH}))

    def pin(self, node: str, *pods: Json, within: float = 60.0) -> str:
        return self.say(PinPods(node, tuple(ref(pod) for pod in pods)), within)

    def delete(self, node: str, *, within: float = 60.0) -> str:
        return self.say(DeletePlaceholder(node), within)

    def release(self, node: str, *, within: float = 60.0) -> str:
        return self.say(Release(node), within)

    def expect(self, node: str, count: int, *, within: float = 60.0) -> str:
        owner = Owner("ReplicaSet", "ns", "web")
        return self.say(ExpectPods(node, (Slot(owner, {"cpu": "100m"}, count),)), within)

    def say(self, action: Action, within: float) -> str:
        """Issue an instruction whose deadline is in so many seconds; returns its id."""
        instruction_id = f"i{len(self.issued) + 1}"
        now = self._now()
        self._send(Instruction(instruction_id, self._next(), now, now + timedelta(seconds=within), action))
        return instruction_id

    def again(self, *, within: float | None = None) -> None:
        """Begin a new epoch: instructions without a final answer are sent again, perhaps with a later deadline."""
        self._epoch, self._sequence = self._epoch + 1, 0
        self._waiting.clear()
        self._unheard.clear()
        for instruction in self.open:
            until = instruction.deadline if within is None else self._now() + timedelta(seconds=within)
            self._send(replace(instruction, position=self._next(), deadline=until))

    def _next(self) -> Position:
        self._sequence += 1
        return Position(self._epoch, self._sequence)

    def _send(self, instruction: Instruction) -> None:
        self.issued[instruction.id] = instruction
        self.times[instruction.id] += 1
        self._waiting.append(instruction)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and (not self._window or len(self._unheard) < self._window):
            instruction = self._waiting.pop(0)
            self._unheard.add(instruction.id)
            self.submit(instruction)

    # --- answers ---

    def heard(self, ack: Ack) -> None:
        """Take an answer."""
        self.acks.append((self._seconds(), ack))
        for listener in self.listeners:
            listener(ack)
        self._unheard.discard(ack.instruction_id)
        self._fill()

    def finals(self, instruction_id: str) -> list[tuple[float, Ack]]:
        """All final answers to an instruction, and when they came."""
        return [(at, ack) for at, ack in self.acks if ack.instruction_id == instruction_id and ack.outcome.final]

    def final(self, instruction_id: str) -> str:
        """The final answer to an instruction, for example ``FAILED DEADLINE_PASSED``. Empty if there is none."""
        found = self.finals(instruction_id)
        return f"{found[0][1].outcome.name} {found[0][1].reason.name}" if found else ""

    def outcome(self, instruction_id: str) -> str:
        """The final outcome alone."""
        return self.final(instruction_id).partition(" ")[0]

    def answered_at(self, instruction_id: str) -> float:
        """When that came."""
        return self.finals(instruction_id)[0][0]

    @property
    def open(self) -> list[Instruction]:
        """What has no final answer yet."""
        return [each for each in tuple(self.issued.values()) if not self.finals(each.id)]
