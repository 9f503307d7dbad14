"""Measures the way of one PinPods through ``moorage.pinner``: ``./taskw way [-- --calls -o json --check]``.

A pod is pinned to a placeholder in the virtual-time bed of the unit tests. Every call of a function of the pinner is
recorded from ``Term.submit`` until the POST of the binding reaches the API server. The figures are the same on every
run: they show how much code a reader has to follow for one instruction, not how long it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from collections import Counter
from types import FrameType
from typing import Any, NamedTuple

from tests.unit.pinner.bed import Bed, run

PACKAGE = "moorage.pinner"
MOST_MODULES, MOST_CHANGES, MOST_CALLS = 32, 117, 195
"""``--check`` and the unit test fail above these figures. Only another rule for each pin raises them."""


class Way(NamedTuple):
    """The recorded calls.

    Attributes:
        calls: the functions in their order, as ``module:name``. A coroutine that resumes is not called again.
    """

    calls: tuple[str, ...]

    @property
    def modules(self) -> list[str]:
        """The modules, each once, in the order of their first call."""
        return list(dict.fromkeys(each.partition(":")[0] for each in self.calls))

    @property
    def changes(self) -> int:
        """The number of calls into another module than that of the call before."""
        modules = [each.partition(":")[0] for each in self.calls]
        return sum(one != other for one, other in itertools.pairwise(modules))

    @property
    def entered(self) -> Counter[str]:
        """The number of calls into each module from another one."""
        modules = [each.partition(":")[0] for each in self.calls]
        return Counter(new for old, new in zip(["", *modules], modules, strict=False) if old != new)


class _Recorder:
    """Records calls between ``begin`` and ``end``."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._frames: set[FrameType] = set()  # kept, so that no other frame gets the same identity

    def begin(self) -> None:
        sys.setprofile(self._note)

    def end(self) -> None:
        sys.setprofile(None)
        self._frames.clear()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
        if event != "call" or not module.startswith(f"{PACKAGE}.") or code.co_name.startswith("<"):
            return  # comprehensions are calls only in some versions of Python
        if frame not in self._frames:
            self._frames.add(frame)
            self.calls.append(f"{module.removeprefix(f'{PACKAGE}.')}:{code.co_qualname}")


def measure() -> Way:
    """Pin one pod to a placeholder in virtual time."""
    recorder = _Recorder()

    async def pin() -> None:
        async with Bed() as bed:
            created = bed.planner.create("n1")
            await bed.answered(created)
            pods = bed.people.pods(1)
            await bed.run(5)  # until all that follows a placeholder is written
            bed.wire.arriving.append(lambda request: recorder.end() if request.resource == "pods/binding" else None)
            asyncio.get_running_loop().call_soon(recorder.begin)
            await asyncio.sleep(0)
            pinned = bed.planner.pin("n1", *pods)
            await bed.answered(pinned)
            assert bed.planner.final(pinned) == "APPLIED OK"

    try:
        run(pin())
    finally:
        recorder.end()
    return Way(tuple(recorder.calls))


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="way", description=__doc__)
    parser.add_argument("--calls", action="store_true", help="show every call")
    parser.add_argument("--check", action="store_true", help="fail if a figure is above its limit")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    way = measure()
    figures = {"modules": len(way.modules), "changes": way.changes, "calls": len(way.calls)}
    if options.output == "json":
        print(json.dumps({**figures, "entered": dict(way.entered)}))
    else:
        if options.calls:
            print("\n".join(way.calls))
        print(", ".join(f"{number} {name}" for name, number in figures.items()))
        print("\n".join(f"{times:4} {name}" for name, times in way.entered.most_common()))
    too_long = figures["modules"] > MOST_MODULES or way.changes > MOST_CHANGES or len(way.calls) > MOST_CALLS
    return 1 if options.check and too_long else 0


if __name__ == "__main__":
    sys.exit(main())
