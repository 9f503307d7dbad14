"""The instructions of the current epoch, and their acknowledgements per cluster.

Nothing is stored on disk. The id of an instruction depends only on its content, so after a restart the planner issues
the same ids, and pinners acknowledge at once what was done before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from moorage.objects import Taint
from moorage.protocol import Ack, Action, BindWhen, CreatePlaceholder, Instruction, PinPods, Position, Promise

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
    """This machine's time in milliseconds since 1970, the unit of epochs."""
    return time.time_ns() // 10**6


class InstructionStore:
    """Stores instructions and acknowledgements. Sessions read them.

    Args:
        clock: milliseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self.reports = Reports()
        """The reports of nodes, across epochs."""
        self.epoch = 0
        self.plan = ""
        self._lasting = timedelta()
        self._instructions: list[Instruction] = []
        self._by_id: dict[str, Instruction] = {}
        self._newest: dict[str, Instruction] = {}  # by the id that depends on the action alone
        self._changed_at: dict[str, int] = {}  # node to the sequence of its last instruction, pins not counted
        self._acks: dict[str, dict[str, Ack]] = {}
        self._listeners: list[Listener] = []
        self._ack_listeners: list[AckListener] = []

    # --- instructions ---

    def start(self, plan: str, lasting: timedelta) -> None:
        """Start an epoch. It replaces all issued instructions, and pinners acknowledge everything again.

        Args:
            plan: the name of the plan.
            lasting: the validity of an instruction, counted from its issue.
        """
        self.epoch = max(self._clock(), self.epoch + 1)
        self.plan = plan
        self._lasting = lasting
        self._instructions = []
        self._by_id, self._newest, self._changed_at = {}, {}, {}
        self._acks = {cluster: {} for cluster in self._acks}
        self._changed()

    def outrun(self, epoch: int) -> bool:
        """Move past an epoch that a pinner has seen, if that epoch cannot be of a planner that was started later.

        Pinners acknowledge everything again, because the report of a node names the position of the accepted
        instruction.

        Returns:
            False when the epoch can be of such a planner: then that planner is in charge.
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
        """Add an instruction. Returns None when the same one was issued in this epoch and still applies.

        An instruction does not apply any more when another one was issued for its node, pins not counted: a node may be
        released and then promised again. The new instruction has another id, which depends on how often the same one
        was issued.

        Args:
            action: what to do.
            lasting: the validity; None means that of all others.
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
        """The sequence of the last instruction; 0 before the first one."""
        return len(self._instructions)

    def at(self, sequence: int) -> Instruction:
        """The instruction with a sequence from 1 to ``high``."""
        return self._instructions[sequence - 1]

    def __iter__(self) -> Iterator[Instruction]:
        return iter(tuple(self._instructions))

    # --- acknowledgements ---

    def join(self, cluster: str) -> None:
        """A pinner of this cluster has connected."""
        self._acks.setdefault(cluster, {})

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters whose pinners have connected at least once."""
        return tuple(self._acks)

    def record(self, cluster: str, ack: Ack) -> Instruction | None:
        """Store an acknowledgement. The first final one is kept.

        Returns:
            The instruction, or None when the acknowledgement is of another epoch or of an unknown instruction.
        """
        if ack.position.epoch != self.epoch:
            return None
        instruction = self._by_id.get(ack.instruction_id)
        if instruction is None and 1 <= ack.position.sequence <= self.high:
            instruction = self.at(ack.position.sequence)  # the message could not be read far enough to know the id
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
        """The last acknowledgement of an instruction by a cluster's pinner; None when there is none."""
        return self._acks.get(cluster, {}).get(instruction.id)

    def unfinished(self, cluster: str) -> list[Instruction]:
        """The instructions that a cluster has not finally acknowledged, in order."""
        acks = self._acks.get(cluster, {})
        return [each for each in self._instructions if (ack := acks.get(each.id)) is None or not ack.outcome.final]

    # --- listeners ---

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call a listener after every change. Returns a function that ends this.

        Listeners must be quick and must not raise.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def on_ack(self, listener: AckListener) -> None:
        """Call a listener with cluster, instruction and acknowledgement, once for each new acknowledgement."""
        self._ack_listeners.append(listener)

    def _changed(self) -> None:
        for listener in tuple(self._listeners):
            listener()


_LATER = ("allow_new_zone", "static_pods", "bind_when")
"""Fields of promises that came after version 1 was declared."""
_DEFAULTS = asdict(Promise("", {}))


def instruction_id(plan: str, action: Action) -> str:
    """The idempotency key of an action. It is the same for the same plan name and action, on every machine."""
    kind = _KINDS[type(action).__name__]
    content = asdict(action)
    if isinstance(action, CreatePlaceholder):  # ids of an older planner stay what they were
        for name in _LATER:
            if content["promise"][name] == _DEFAULTS[name]:
                del content["promise"][name]
    text = json.dumps([plan, kind, content], sort_keys=True, separators=(",", ":"), default=_plain)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{kind}-{action.node[:80]}-{digest}"


def _plain(value: object) -> object:
    if isinstance(value, Taint):
        return [value.key, value.value, value.effect]
    if isinstance(value, BindWhen):
        return value.value
    raise TypeError(f"{type(value).__name__} in an action")
