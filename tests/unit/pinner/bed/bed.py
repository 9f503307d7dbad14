"""The test bed: a whole pinner between a planner and an API server, in virtual time, with everything recorded."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast
from unittest import mock

from moorage.kube import backoff
from moorage.kube.client import Client
from moorage.kube.events import EventType, ObjectRef
from moorage.kube.http.transport import Transport
from moorage.pinner.decisions.ends import Ends
from moorage.pinner.node import attempts
from moorage.pinner.options import Options
from moorage.pinner.state.caches import Caches
from moorage.pinner.term import Term
from moorage.protocol import Ack, Instruction, NodeReport

from .api import Api, Entry, Request
from .people import People
from .planner import Planner
from .refusals import Json
from .wire import MOST, Wire

LIMIT, WINDOW = 10, 10.0
"""The limit of a verb on one object within some seconds, unless another client has changed the object."""


@dataclass(frozen=True)
class Event:
    """An Event that people would see."""

    reason: str
    about: str
    note: str


class Bed:
    """Everything together; an asynchronous context.

    Args:
        seed: of all that is left to chance.
        window: of the planner.
        options: of the pinner.

    Attributes:
        api: the server, for changes of other clients.
        wire: the connection, for faults.
        people: whoever else works on the cluster.
        planner: who wants something.
        events: the Events that were recorded.
        reports: the reports to the planner.
        logs: the log lines.
        leads: whether the pinner may write.
        ends: what the next leader knows of ended pins, because it has followed the pods all the time; None: nothing.
    """

    def __init__(self, *, seed: int = 0, window: int = 0, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self.api = Api(loop.time)
        self.wire = Wire(self.api)
        self.people = People(self.api)
        self.events: list[Event] = []
        self.reports: list[NodeReport] = []
        self.logs: list[logging.LogRecord] = []
        self.leads = True
        self.ends: Ends | None = None
        self.planner = Planner(lambda _: None, self.api.time, loop.time, window=window)
        self._options = Options(**{"writes_in_flight": 8, **options})
        self._seed = seed
        self._caches = Caches.over(self._transport)
        self._tasks: list[asyncio.Task[None]] = []
        self._term: asyncio.Task[None] | None = None
        self._patches = ExitStack()
        self._random: object = None

    @property
    def _transport(self) -> Transport:
        return cast("Transport", self.wire)

    # --- life ---

    async def __aenter__(self) -> Self:
        self._random = random.getstate()
        random.seed(self._seed)
        for chance in (backoff._chance, attempts._chance):
            chance.seed(self._seed)
        clock = SimpleNamespace(monotonic=self.now)
        self._patches.enter_context(mock.patch("moorage.kube.cache.time", clock))
        self._patches.enter_context(_Logs(self.logs))
        for namespace in ("ns", "kube-node-lease"):
            self.api.create("namespaces", {"metadata": {"name": namespace}})
        self._tasks = [asyncio.create_task(self._caches.run(), name="caches")]
        await self._caches.wait_synced()
        self.lead()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.people.finished = True
        tasks = [*self._tasks, *([self._term] if self._term else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._patches.close()
        random.setstate(cast("Any", self._random))

    def lead(self) -> None:
        """Begin a term: the new leader knows only what the cluster and the planner have."""
        acks: Callable[[Ack], None] = self.planner.heard
        pinner = Term(
            Client(self._transport, patience=0.0),
            self._caches,
            self,
            self.wire.clock,
            lambda: self.leads,
            self._options,
            acks=acks,
            reports=self.reports.append,
            ends=self.ends,
            monotonic=self.now,
        )
        self.planner.submit = lambda instruction: self._submit(pinner, instruction)
        self._term = asyncio.create_task(pinner.run(), name="term")

    def _submit(self, pinner: Term, instruction: Instruction) -> None:
        """Give the pinner an instruction. It queues the node, as another client's change does."""
        request = Request("instruct", "", name=instruction.node)
        self.api.log(request, 200, ours=False)
        pinner.submit(instruction)

    def follow_ends(self) -> None:
        """From now on there is another replica that follows the cluster: whoever leads next knows what it has seen."""
        self.ends = Ends(self._options.most_ends, self.wire.clock.now)
        self._caches.pods.subscribe(self.ends.follow)

    async def crash(self) -> None:
        """End a term in the midst of whatever it does, and begin the next; the planner says its instructions again."""
        assert self._term is not None
        self._term.cancel()
        await asyncio.gather(self._term, return_exceptions=True)
        self.lead()
        self.planner.again()

    def record(
        self,
        regarding: ObjectRef,
        *,
        type: EventType,  # noqa: ARG002
        reason: str,
        action: str,  # noqa: ARG002
        note: str,
        related: ObjectRef | None = None,  # noqa: ARG002
    ) -> None:
        """Take an Event, as the recorder does."""
        self.events.append(Event(reason, regarding.name, note))

    # --- time ---

    async def run(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)
        self.check()

    async def until(self, condition: Callable[[], object], *, within: float = 30.0) -> None:
        """Let time pass until a condition holds.

        Raises:
            AssertionError: it does not, in so many seconds.
        """
        end = self.now() + within
        while not condition():
            assert self.now() < end, f"not in {within:g} s; {self.story()}"
            await asyncio.sleep(0.05)
            self.check()

    async def answered(self, *ids: str, within: float = 30.0) -> None:
        """Let time pass until these instructions have their final answers."""
        await self.until(lambda: all(self.planner.final(each) for each in ids), within=within)

    def check(self) -> None:
        """Check that the pinner runs and has not sent endless requests."""
        for task in (*self._tasks, self._term):
            if task is not None and task.done() and not task.cancelled():
                task.result()
        assert self.wire.asked <= MOST, f"{MOST} requests and no end: {self.repeated()}"

    # --- the record ---

    def story(self) -> str:
        """What a failed test is to show."""
        answers = {each: self.planner.final(each) or "open" for each in self.planner.issued}
        return f"answers: {answers}; said: {self._summary()}; repeated: {self.repeated()}"

    def _summary(self) -> dict[str, int]:
        """The messages, with their numbers."""
        return dict(Counter(record.getMessage() for record in self.logs if record.levelno >= logging.WARNING))

    def asked(self, verb: str, resource: str, key: str = "") -> list[Entry]:
        """The requests of the pinner that reached the server."""
        return [
            each
            for each in self.api.audit
            if each.ours and (each.verb, each.resource) == (verb, resource) and key in ("", each.key)
        ]

    def writes(self, since: float = 0.0) -> list[Entry]:
        """What the pinner wrote or tried to, Leases apart."""
        return [
            each
            for each in self.api.audit
            if each.ours and each.verb not in ("get", "list", "watch") and each.resource != "leases" and each.at > since
        ]

    def repeated(self) -> dict[tuple[str, str, str], int]:
        """Requests that were repeated too often for an object that no other client had changed."""
        found: dict[tuple[str, str, str], int] = {}
        times: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
        for each in self.api.audit:
            if not each.ours:
                for key in [key for key in times if _is_news(each, key)]:
                    del times[key]
                continue
            if each.verb in ("list", "watch"):
                continue
            key = (each.verb, each.resource, each.key)
            times[key] = [at for at in times[key] if at > each.at - WINDOW] + [each.at]
            if len(times[key]) > LIMIT:
                found[key] = max(found.get(key, 0), len(times[key]))
        return found

    def said(self, text: str = "") -> list[str]:
        """The log lines with this text."""
        return [record.getMessage() for record in self.logs if text in record.getMessage()]

    def told(self, reason: str, about: str = "") -> list[Event]:
        """The Events of a reason."""
        return [event for event in self.events if event.reason == reason and about in ("", event.about)]

    def node(self, name: str) -> Json | None:
        """The stored Node."""
        return self.api.read("nodes", name)

    def reservation(self, name: str) -> Json | None:
        """The stored reservation."""
        return self.api.read("nodereservations", name)

    def bound(self, name: str) -> set[str]:
        """The uids of the pods that are bound to a node."""
        pods = self.api.store.objects["pods"].values()
        return {pod["metadata"]["uid"] for pod in pods if pod["spec"].get("nodeName") == name}


def _is_news(entry: Entry, key: tuple[str, str, str]) -> bool:
    """Whether another client's change is a reason to repeat a request for an object."""
    if entry.verb == "instruct":
        return key[2].rpartition("/")[2] == entry.key
    return key[1].partition("/")[0] == entry.resource and key[2] == entry.key


class _Logs(logging.Handler):
    """Records log lines while it is open."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.DEBUG)
        self._records = records
        self._logger = logging.getLogger("moorage")
        self._level = self._logger.level
        self._spreads = self._logger.propagate

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        self._logger.propagate = self._spreads
