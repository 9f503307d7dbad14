"""A planner without a plan file: the planner's own server, with instructions that the benchmark issues."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from moorage.ops.parsing import Address
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import Ack, Action, CreatePlaceholder, Instruction, Outcome, PinPods, PodRef, Promise
from tools.bench.common.errors import BenchError
from tools.bench.pin import scene
from tools.bench.pin.scene import NAMESPACE, Target

_LASTING = timedelta(minutes=30)


class Issuer:
    """Issues instructions and records when each was applied. Times are monotonic seconds.

    Args:
        board: what the server serves.
    """

    def __init__(self, board: InstructionStore) -> None:
        self._board = board
        self._issued: dict[str, float] = {}
        self._applied: dict[str, float] = {}
        self._refused: list[Ack] = []
        self._news = asyncio.Event()
        board.on_ack(self._acknowledged)
        board.start("bench", _LASTING)

    def issue(self, actions: Iterable[Action]) -> list[str]:
        """Send instructions. Returns their ids."""
        ids = []
        for action in actions:
            now = time.monotonic()
            instruction = self._board.issue(action)
            if instruction is None:
                raise BenchError(f"{type(action).__name__} for {action.node} was issued already")
            self._issued[instruction.id] = now
            ids.append(instruction.id)
        return ids

    async def paced(self, actions: Sequence[Action], rate: float) -> list[str]:
        """Send this many instructions per second."""
        start = time.monotonic()
        ids = []
        for number, action in enumerate(actions):
            await asyncio.sleep(start + number / rate - time.monotonic())
            ids += self.issue([action])
        return ids

    async def applied(self, ids: Sequence[str], patience: float) -> list[float]:
        """Wait until all are applied. Returns the seconds that each took.

        Raises:
            BenchError: an instruction was not applied.
        """
        try:
            async with asyncio.timeout(patience):
                while any(each not in self._applied for each in ids) and not self._refused:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            missing = sum(each not in self._applied for each in ids)
            raise BenchError(f"{missing} of {len(ids)} instructions were not applied in {patience:g} s") from None
        if self._refused:
            ack = self._refused[0]
            raise BenchError(f"instruction {ack.instruction_id}: {ack.outcome.value}, {ack.reason.name}: {ack.text}")
        return [self._applied[each] - self._issued[each] for each in ids]

    def _acknowledged(self, _cluster: str, instruction: Instruction, ack: Ack) -> None:
        if not ack.outcome.final:
            return
        if ack.outcome is Outcome.APPLIED:
            self._applied[instruction.id] = time.monotonic()
        else:
            self._refused.append(ack)
        self._news.set()


@asynccontextmanager
async def issuer(address: str) -> AsyncIterator[Issuer]:
    """Serve on this address (host:port) while the context is open."""
    host, _, port = address.rpartition(":")
    board = InstructionStore()
    made = Issuer(board)
    server = PlannerServer(board, ServerSettings(address=Address(host, int(port))))
    await server.start()
    try:
        yield made
    finally:
        await server.stop()


def placeholders(nodes: int) -> list[Action]:
    """One instruction per node."""
    return [CreatePlaceholder(_promise(index)) for index in range(nodes)]


def pins(targets: Sequence[Target]) -> list[Action]:
    """One instruction per node, with all its pods."""
    by_node: dict[str, list[PodRef]] = {}
    for each in targets:
        by_node.setdefault(each.node, []).append(_pod(each))
    return [PinPods(node, tuple(pods)) for node, pods in by_node.items()]


def single_pins(targets: Sequence[Target]) -> list[Action]:
    """One instruction per pod."""
    return [PinPods(each.node, (_pod(each),)) for each in targets]


def _pod(wanted: Target) -> PodRef:
    return PodRef(NAMESPACE, wanted.name, wanted.uid)


def _promise(index: int) -> Promise:
    said = scene.promise(index)
    return Promise(
        name=scene.node_name(index),
        allocatable=said["allocatable"],
        labels=said["labels"],
        provider_id=said["providerID"],
    )
