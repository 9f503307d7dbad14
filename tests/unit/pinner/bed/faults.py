"""Faults between the pinner and its API server. Each is set for some requests, and for a number of them.

A fault stands between the wire and the server: it gets the request and a function that carries it out, and may call
that function never, once, or after somebody else has done something. Mutating policies are part of the server:
``prune`` makes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from moorage.kube import errors

from . import refusals
from .api import Policy, Request
from .refusals import Json

CarryOut: TypeAlias = Callable[[], Json]
Effect: TypeAlias = Callable[[Request, CarryOut], Awaitable[Json]]
TIMEOUT = 30.0
"""Seconds after which a client stops waiting for an answer."""


@dataclass
class Rule:
    """A fault and the requests that it meets.

    Attributes:
        verb: empty for all.
        resource: the plural, with its subresource; empty for all.
        key: ``namespace/name``; empty for all.
        times: how many more; None for all.
    """

    effect: Effect
    verb: str = ""
    resource: str = ""
    key: str = ""
    times: int | None = None
    met: int = 0

    def meets(self, request: Request) -> bool:
        """Whether this request meets the fault; counts those that do."""
        wanted = ((self.verb, request.verb), (self.resource, request.resource), (self.key, request.key))
        if self.times == 0 or any(mine and mine != theirs for mine, theirs in wanted):
            return False
        self.times = None if self.times is None else self.times - 1
        self.met += 1
        return True


class Faults:
    """The faults that are set; the oldest that meets a request counts."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def set(self, effect: Effect, verb: str = "", resource: str = "", key: str = "", times: int | None = None) -> Rule:
        """Set a fault."""
        rule = Rule(effect, verb, resource, key, times)
        self._rules.append(rule)
        return rule

    def lift(self, *rules: Rule) -> None:
        """Take faults back; all of them when none is named."""
        self._rules = [rule for rule in self._rules if rules and rule not in rules]

    def meeting(self, request: Request) -> Effect | None:
        """What happens to a request."""
        return next((rule.effect for rule in self._rules if rule.meets(request)), None)


def deny(error: Callable[[], errors.KubeError] | None = None) -> Effect:
    """The server says no and nothing happens; without an error a policy denies it."""

    async def effect(request: Request, carry_out: CarryOut) -> Json:
        raise error() if error is not None else refusals.policy_denies(f'{request.resource} "{request.name}"')

    return effect


async def lack_right(request: Request, carry_out: CarryOut) -> Json:
    """Our account may not do it."""
    raise refusals.not_granted(request.verb, request.resource)


def fail(code: int) -> Effect:
    """The server, or a proxy, is not able to: 429, 500, 503 or 504."""
    return deny(lambda: refusals.unavailable(code))


async def refuse_connection(request: Request, carry_out: CarryOut) -> Json:
    """Nobody listens."""
    raise errors.Unreachable(f"{request.verb} {request.resource}: connection refused")


async def swallow(request: Request, carry_out: CarryOut) -> Json:
    """The request goes nowhere, and no answer comes."""
    await asyncio.sleep(TIMEOUT)
    raise errors.Silent(f"{request.verb} {request.resource}: no answer within the time limit")


async def lose_answer(request: Request, carry_out: CarryOut) -> Json:
    """It is done, and the connection breaks before the answer comes."""
    carry_out()
    raise errors.ConnectionLost(f"{request.verb} {request.resource}: connection reset")


async def answer_too_late(request: Request, carry_out: CarryOut) -> Json:
    """It is done, and the client no longer waits for the answer."""
    carry_out()
    return await swallow(request, carry_out)


def delay(seconds: float) -> Effect:
    """It takes its time."""

    async def effect(request: Request, carry_out: CarryOut) -> Json:
        await asyncio.sleep(seconds)
        return carry_out()

    return effect


def meanwhile(deed: Callable[[], object]) -> Effect:
    """Somebody else is faster by a hair."""

    async def effect(request: Request, carry_out: CarryOut) -> Json:
        deed()
        return carry_out()

    return effect


def prune(*path: str, resource: str = "", verb: str = "", of: Callable[[object], bool] | None = None) -> Policy:
    """A mutating policy that takes something out of whatever is stored.

    Args:
        path: where it is (``metadata``, ``labels``, ``pool``).
        resource: restricts it to a plural, with its subresource; empty for all.
        verb: restricts it to a verb; empty for all.
        of: of a list, the items that go; all of it without.
    """

    def policy(request: Request, found: Json) -> None:
        if (resource and request.resource != resource) or (verb and request.verb != verb):
            return
        for holder in _holders(found, path[:-1]):
            if of is None:
                holder.pop(path[-1], None)
            elif path[-1] in holder:
                holder[path[-1]] = [item for item in holder[path[-1]] if not of(item)]

    return policy


def _holders(found: Json, path: tuple[str, ...]) -> Iterator[Json]:
    """What stands at a path; of a list each item."""
    if not path:
        yield found
        return
    inner = found.get(path[0])
    for each in inner if isinstance(inner, list) else [inner]:
        if isinstance(each, dict):
            yield from _holders(each, path[1:])
