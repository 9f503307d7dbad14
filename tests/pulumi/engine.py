"""Pulumi programs without an engine: the resources that they register."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.output import UNKNOWN
from pulumi.runtime import mocks, stack
from pulumi.runtime.settings import SETTINGS

RELEASE = "kubernetes:helm.sh/v3:Release"
_SIGNATURE = "4dabf18193072939515e22adb298388d"  # the key of what is no plain value, in what programs send
_SECRET = "1b47061264138c4ac30d75fd1eb44270"


@dataclass
class Registered:
    """A resource as the program has registered it."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: dict[str, Any]


@dataclass
class Ran:
    """A program that has ended.

    Attributes:
        resources: in the order in which they were registered, without the stack.
        warnings: the warnings.
        error: why it failed, if it did.
    """

    resources: list[Registered] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: Exception | None = None

    def one(self, kind: str) -> Registered:
        """The only resource of a type."""
        (found,) = [each for each in self.resources if each.type == kind]
        return found

    @property
    def release(self) -> dict[str, Any]:
        """The inputs of the only release."""
        return self.one(RELEASE).inputs

    @property
    def refusal(self) -> list[str]:
        """The lines of the refusal, without the first."""
        assert isinstance(self.error, pulumi.RunError), self.error
        first, *rest = str(self.error).splitlines()
        assert first.endswith("is not installed, because its arguments have mistakes:")
        return [line.strip() for line in rest]


def run(program: Callable[[], object], *, preview: bool = False) -> Ran:
    """Run a program to its end, whatever that is."""
    ran = Ran()
    logger = logging.Logger("program")
    logger.addHandler(_Collects(ran.warnings))
    loops = [asyncio.new_event_loop()]

    def begin() -> None:  # in the one thread that answers: the SDK's mocks would make a loop there, and leave it open
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    asyncio.set_event_loop(loops[0])
    try:
        with ThreadPoolExecutor(1, initializer=begin) as thread:
            loops[0].set_default_executor(thread)
            loops[0].set_exception_handler(lambda *_: None)  # a failed release fails all that hangs on it
            mocks.set_mocks(_Answers(), preview=preview, logger=logger, monitor=_Records(ran.resources))
            SETTINGS.outputs.clear()
            loops[0].run_until_complete(_ended(program))
    except Exception as error:
        ran.error = error
    finally:
        asyncio.set_event_loop(None)
        for loop in loops:
            loop.close()
    return ran


async def _ended(program: Callable[[], object]) -> None:
    try:
        await stack.run_pulumi_func(lambda: _nothing(program()))
    finally:  # of a program that failed, what has nobody left who waits for it
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


def _nothing(_made: object) -> None:
    """A program's last expression is not its result."""


def secret(value: Any) -> dict[str, Any]:
    """How a secret is sent."""
    return {_SIGNATURE: _SECRET, "value": value}


def unknown() -> pulumi.Output[Any]:
    """What another resource has only once it exists."""

    async def value() -> Any:
        return UNKNOWN

    async def known() -> bool:
        return False

    return pulumi.Output(set(), value(), known())


def later(value: Any) -> pulumi.Output[Any]:
    """What is known, but not yet where the program makes resources of it."""
    return pulumi.Output.from_input(value)


class _Answers(mocks.Mocks):
    def call(self, _args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return {}, None

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        return f"{args.name}-id", args.inputs


class _Records(mocks.MockMonitor):
    def __init__(self, resources: list[Registered]) -> None:
        super().__init__(_Answers())
        self._registered = resources

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (gRPC's name)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            inputs = json_format.MessageToDict(request.object)
            self._registered.append(Registered(request.type, request.name, answer.urn, request.parent, inputs))
        return answer


class _Collects(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self._found.append(record.getMessage())
