"""The end of programs: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

PRELUDE = """
import asyncio, sys, time
from moorage.ops import aio, logs
logs.configure("info", "json")
class Known(Exception): pass
def say(word):
    print(word, flush=True)
"""


def start(body: str, **environment: str) -> subprocess.Popen[str]:
    program = PRELUDE + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime"), **environment},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, list[dict[str, Any]]]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, [json.loads(line) for line in err.splitlines()]


def until_said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


WAITER = """
async def program():
    try:
        say("up")
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        say("cleaned up")
sys.exit(aio.run(program, known=(Known,)))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_in_order(number: signal.Signals, code: int) -> None:
    process = start(WAITER)
    until_said(process, "up")
    process.send_signal(number)
    returned, out, logged = finish(process)
    assert returned == code
    assert "cleaned up" in out
    assert [(line["message"], line["signal"]) for line in logged] == [("stopping", number.name)]


def test_what_hangs_while_stopping_is_named_and_left() -> None:
    process = start("""
    async def program():
        while True:
            try:
                say("up")
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
    sys.exit(aio.run(program, known=(), grace=0.2))
    """)
    until_said(process, "up")
    process.send_signal(signal.SIGTERM)
    code, _, logged = finish(process)
    assert code == 1
    assert logged[-1]["message"] == "stopping took too long, ending without cleaning up"
    assert logged[-1]["tasks"]


def test_a_loop_that_is_stuck_does_not_keep_it_from_ending() -> None:
    process = start("""
    async def program():
        try:
            say("up")
            await asyncio.sleep(3600)
        finally:
            time.sleep(3600)
    sys.exit(aio.run(program, known=(), grace=0.2))
    """)
    until_said(process, "up")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 1


def test_a_second_signal_ends_it_at_once() -> None:
    process = start("""
    async def program():
        try:
            say("up")
            await asyncio.sleep(3600)
        finally:
            say("cleaning")
            await asyncio.sleep(3600)
    sys.exit(aio.run(program, known=(), grace=3600))
    """)
    until_said(process, "up")
    process.send_signal(signal.SIGTERM)
    until_said(process, "cleaning")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize(("ending", "code"), [("return None", 0), ("return 3", 3)])
def test_the_program_chooses_its_exit_code(ending: str, code: int) -> None:
    process = start(f"""
    async def program():
        {ending}
    sys.exit(aio.run(program, known=()))
    """)
    assert finish(process)[0] == code


def test_a_known_error_is_a_sentence_also_out_of_a_task_group() -> None:
    process = start("""
    async def fails():
        raise Known("the planner's address is wrong")
    async def program():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.sleep(3600)
    sys.exit(aio.run(program, known=(Known,)))
    """)
    code, _, logged = finish(process)
    assert code == 1
    (line,) = logged
    assert line["error"] == "the planner's address is wrong"
    assert "stack" not in line


def test_a_fault_of_ours_is_a_line_with_its_stack_in_a_field() -> None:
    process = start("""
    async def program():
        {}["missing"]
    sys.exit(aio.run(program, known=(Known,)))
    """)
    code, _, logged = finish(process)
    assert code == 1
    (line,) = logged
    assert line["level"] == "critical"
    assert line["error"] == "KeyError: 'missing'"
    assert "Traceback" in line["stack"]


INTERRUPTED_LOOP = """
import os, signal, threading
made = []
new_event_loop = asyncio.events.new_event_loop
def interrupted():
    # A signal for the process, with a thread that could take it: to block it in this one alone would not help.
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    made.append(new_event_loop())
    return made[0]
asyncio.events.new_event_loop = interrupted
async def command():
    say("begun")
try:
    aio.run_command(command)
except KeyboardInterrupt:
    say("interrupted")
say(made[0].is_closed() if made else "half-made")
say(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_an_interrupt_while_the_loop_is_made_waits_for_the_whole_loop() -> None:
    assert finish(start(INTERRUPTED_LOOP)) == (0, "interrupted\nTrue\nTrue\n", [])
