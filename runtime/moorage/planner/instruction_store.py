"""What is to be done and what has been answered: instructions of the current epoch, acknowledgements per cluster.

Nothing of it is kept on disk. Ids follow from what an instruction says, so a planner that starts again issues the same
ones, and whatever was done already is answered at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from moorage.objects import Taint
from moorage.protocol import Ack, Action, Instruction, PinPods, Position

from .reports import Reports

Listener = Callable[[], None]
AckListener = Callable[[str, Instruction, Ack], None]

_KINDS = {
    "CreatePlaceholder": "create",
    "DeletePlaceholder": "delete",
    "PinPods": "pin",
    "ExpectPods": "expect",
    "Release": "release",
}


def now_ms() -> int:
    """This machine's time in milliseconds since 1970: the unit of epochs."""
    return time.time_ns() // 10**6


class Board:
    """Instructions and answers; sessions follow it.

    Args:
        clock: milliseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self.reports = Reports()
        """How it stands with nodes, whatever the epoch."""
        self.epoch = 0
        self.plan = ""
        self._lasting = timedelta()
        self._instructions: list[Instruction] = []
        self._by_id: dict[str, Instruction] = {}
        self._newest: dict[str, Instruction] = {}  # by the id that follows from the action alone
        self._changed_at: dict[str, int] = {}  # node to the sequence of the last instruction for it, pins apart
        self._acks: dict[str, dict[str, Ack]] = {}
        self._listeners: list[Listener] = []
        self._ack_listeners: list[AckListener] = []

    # --- what is to be done ---

    def start(self, plan: str, lasting: timedelta) -> None:
        """Begin an epoch: what was issued before is replaced, and everything is answered anew.

        Args:
            plan: its name.
            lasting: how long after its issue an instruction may be carried out.
        """
        self.epoch = max(self._clock(), self.epoch + 1)
        self.plan = plan
        self._lasting = lasting
        self._instructions = []
        self._by_id, self._newest, self._changed_at = {}, {}, {}
        self._acks = {cluster: {} for cluster in self._acks}
        self._changed()

    def outrun(self, epoch: int) -> bool:
        """Move past an epoch that a pinner has seen, if it cannot come from a planner that was started after this one.

        Everything is answered anew: a report of a node names the position at which an instruction was accepted.

        Returns:
            False when it can: then that planner is to be obeyed, and this one is not.
        """
        if epoch <= self._clock():
            return False
        self.epoch = epoch + 1
        self._instructions = [
            replace(each, position=Position(self.epoch, each.position.sequence)) for each in self._instructions
        ]
        self._by_id = {each.id: each for each in self._instructions}
        self._acks = {cluster: {} for cluster in self._acks}
        self._changed()
        return True

    def issue(self, action: Action, lasting: timedelta | None = None) -> Instruction | None:
        """Add an instruction; None when the same was issued in this epoch already, and still stands.

        It does not stand any more when something else was issued for its node since, pins apart: a node may be
        released and then promised again. It has another id then, which follows from how often the same was issued.

        Args:
            action: what to do.
            lasting: how long it may be carried out; None: as long as all others.
        """
        action_id = instruction_id(self.plan, action)
        newest = self._newest.get(action_id)
        if newest is not None and newest.position.sequence >= self._changed_at.get(action.node, 0):
            return None
        key, times = action_id, 1
        while key in self._by_id:
            times += 1
            key = f"{action_id}-{times}"
        issued = datetime.fromtimestamp(self._clock() / 1000, UTC)
        position = Position(self.epoch, len(self._instructions) + 1)
        deadline = issued + (self._lasting if lasting is None else lasting)
        instruction = Instruction(key, position, issued, deadline, action, self.plan)
        self._instructions.append(instruction)
        self._by_id[key] = self._newest[action_id] = instruction
        if not isinstance(action, PinPods):
            self._changed_at[action.node] = position.sequence
        self._changed()
        return instruction

    @property
    def high(self) -> int:
        """Sequence of the last instruction issued; 0 before the first."""
        return len(self._instructions)

    def at(self, sequence: int) -> Instruction:
        """The instruction of a sequence, from 1 to ``high``."""
        return self._instructions[sequence - 1]

    def __iter__(self) -> Iterator[Instruction]:
        return iter(tuple(self._instructions))

    # --- what was answered ---

    def join(self, cluster: str) -> None:
        """A pinner of this cluster has come."""
        self._acks.setdefault(cluster, {})

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters whose pinners have ever come."""
        return tuple(self._acks)

    def record(self, cluster: str, ack: Ack) -> Instruction | None:
        """Take note of an answer; the first final one stays.

        Returns:
            The instruction, or None when the answer is of another epoch or of nothing that was issued.
        """
        if ack.position.epoch != self.epoch:
            return None
        instruction = self._by_id.get(ack.instruction_id)
        if instruction is None and 1 <= ack.position.sequence <= self.high:
            instruction = self.at(ack.position.sequence)  # it could not be read so far as to its id
        if instruction is None:
            return None
        acks = self._acks.setdefault(cluster, {})
        known = acks.get(instruction.id)
        if known != ack and not (known is not None and known.outcome.final):
            acks[instruction.id] = ack
            for listener in self._ack_listeners:
                listener(cluster, instruction, ack)
            self._changed()
        return instruction

    def ack(self, cluster: str, instruction: Instruction) -> Ack | None:
        """What a cluster's pinner has said of an instruction so far."""
        return self._acks.get(cluster, {}).get(instruction.id)

    def unfinished(self, cluster: str) -> list[Instruction]:
        """The instructions that a cluster has not finally acknowledged, in order."""
        acks = self._acks.get(cluster, {})
        return [each for each in self._instructions if (ack := acks.get(each.id)) is None or not ack.outcome.final]

    # --- telling others ---

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be called after every change; returns what ends that. Listeners are quick and do not raise."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_ack(self, listener: AckListener) -> None:
        """Be called with cluster, instruction and answer, once for each answer that is news."""
        self._ack_listeners.append(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()


def instruction_id(plan: str, action: Action) -> str:
    """The idempotency key of an action: the same text for the same plan name and action, on every machine."""
    kind = _KINDS[type(action).__name__]
    said = json.dumps([plan, kind, asdict(action)], sort_keys=True, separators=(",", ":"), default=_plain)
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{kind}-{action.node[:80]}-{digest}"


def _plain(value: object) -> object:
    if isinstance(value, Taint):
        return [value.key, value.value, value.effect]
    raise TypeError(f"{type(value).__name__} in an action")
