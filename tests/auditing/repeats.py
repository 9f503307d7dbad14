"""Finds requests that were repeated for an object that no other client had changed.

A program that watches knows the state of an object. If it repeats a request for an object many times within seconds,
and no other client changes that object meanwhile, then it does not wait for what it should wait for.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from tools.auditlog.events import Event

LIMIT = 10
WITHIN = 10.0

_COLLECTIONS = ("list", "watch", "deletecollection")
_READS = ("get", "list", "watch")


class Request(NamedTuple):
    """The request: verb, account and object."""

    account: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    pod: str = ""


@dataclass
class Repeat:
    """One request that was repeated for nothing.

    Attributes:
        request: which.
        most: how often at most within the time that was given.
        total: the number of requests until another client changed the object.
        since: when the first was answered, in seconds since 1970.
        until: when the last was answered.
        agents: how often each User-Agent sent it.
        codes: how often each HTTP status was the answer.
    """

    request: Request
    most: int
    total: int
    since: float
    until: float
    agents: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)


def repeated(
    events: Iterable[Event], ours: Callable[[Event], bool], limit: int = LIMIT, within: float = WITHIN
) -> list[Repeat]:
    """Find every request of our accounts that came too often, the most frequent first.

    What counts as another's change is any stored, successful write to the object or a subresource of it, and the
    deletion of a whole collection that it may have been in. Of lists and watches none is about one object; nor is a
    create that lets the server choose the name, unless it is refused.

    Args:
        events: of one API server, in any order.
        ours: whether a request is one of Moorage's.
        limit: how often a request may come.
        within: in so many seconds.
    """
    found: list[Repeat] = []
    running: dict[tuple[str, str, str, str], dict[Request, _Run]] = defaultdict(dict)
    for event in sorted(events, key=attrgetter("at")):
        if not ours(event):
            for place in _changed(event, running):
                found += _ended(running.pop(place, {}).values())
        elif _is_about_one_object(event):
            request = Request(
                event.account,
                event.verb,
                event.group,
                event.resource,
                event.subresource,
                event.namespace,
                event.name,
                event.pod,
            )
            runs = running[_place(event)]
            runs.setdefault(request, _Run(request, limit, within)).add(event)
    for runs in running.values():
        found += _ended(runs.values())
    return sorted(found, key=lambda repeat: (-repeat.total, repeat.since))


class _Run:
    """The same request, repeated since another client last changed the object."""

    def __init__(self, request: Request, limit: int, within: float) -> None:
        self._request, self._limit, self._within = request, limit, within
        self._window: deque[Event] = deque()
        self.repeat: Repeat | None = None

    def add(self, event: Event) -> None:
        self._window.append(event)
        while event.at - self._window[0].at >= self._within:
            self._window.popleft()
        often = len(self._window)
        if self.repeat is not None:
            self._count(self.repeat, event)
            self.repeat.most = max(self.repeat.most, often)
        elif often > self._limit:
            first = self._window[0].at
            self.repeat = Repeat(self._request, most=often, total=0, since=first, until=first)
            for each in self._window:
                self._count(self.repeat, each)

    @staticmethod
    def _count(repeat: Repeat, event: Event) -> None:
        repeat.total += 1
        repeat.until = event.at
        repeat.agents[event.agent] += 1
        repeat.codes[event.code] += 1


def _place(event: Event) -> tuple[str, str, str, str]:
    return (event.group, event.resource, event.namespace, event.name)


def _is_about_one_object(event: Event) -> bool:
    if event.verb in _COLLECTIONS:
        return False
    return bool(event.name) or (event.verb == "create" and event.code >= 400)


def _changed(event: Event, known: Iterable[tuple[str, str, str, str]]) -> list[tuple[str, str, str, str]]:
    """The objects that another client's request has changed."""
    if event.verb in _READS or not event.stored or not 200 <= event.code < 300:
        return []
    if event.verb != "deletecollection":
        return [_place(event)]
    kind, where = (event.group, event.resource), event.namespace
    return [place for place in known if place[:2] == kind and where in ("", place[2])]


def _ended(runs: Iterable[_Run]) -> list[Repeat]:
    return [run.repeat for run in runs if run.repeat is not None]
