"""Credential plugins: their input, their valid answers, and how often they run."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from moorage.kube.credentials import CredentialsError, load
from moorage.kube.credentials.exec import ExecAuthenticator
from moorage.kube.credentials.plugin import Credential, Plugin
from moorage.kube.credentials.tls import TlsContexts
from tests.unit.kube.credentials.support import SECRET, V1, Pki, Write, authorization, b64, script


def plugin(path: Path, body: str, **options: Any) -> Plugin:
    return Plugin("here", str(script(path, body)), V1, **options)


async def test_plugin_is_told_what_kubectl_tells_it(write: Write, tmp_path: Path, pki: Pki) -> None:
    script(
        tmp_path / "bin/plugin",
        """
        told = {"info": info, "args": sys.argv[1:], "extra": os.environ["EXTRA"], "stdin": sys.stdin.read()}
        print("private words", file=sys.stderr)
        open(os.environ["TOLD"], "w").write(json.dumps(told))
        answer(token="from-plugin")
        """,
    )
    exec_config = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./bin/plugin",  # relative to the kubeconfig
        "args": ["--region", "north"],
        "env": [{"name": "EXTRA", "value": "more"}, {"name": "TOLD", "value": str(tmp_path / "told")}],
        "provideClusterInfo": True,
    }
    cluster = {
        "server": "https://h:6443",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": b64(pki.ca),
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
    }
    access = load(write({"exec": exec_config}, cluster))
    assert await authorization(access) == "Bearer from-plugin"
    told = json.loads((tmp_path / "told").read_text())
    assert told == {
        "info": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "kind": "ExecCredential",
            "spec": {
                "interactive": False,
                "cluster": {
                    "server": "https://h:6443",
                    "tls-server-name": "kubernetes",
                    "certificate-authority-data": b64(pki.ca),
                    "config": {"audience": "a"},
                },
            },
        },
        "args": ["--region", "north"],
        "extra": "more",
        "stdin": "",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"print('{SECRET}', file=sys.stderr); sys.exit(3)", "failed (exit status 3). Run it by hand"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        (f"print('{SECRET}')", "printed something that is no ExecCredential"),
        ("while True: print('x' * 100_000)", "printed more than 1 MiB"),
        ("answer()", "neither a token nor a client certificate"),
        (f"answer(clientCertificateData='{SECRET}')", "a certificate without key"),
        (f"answer(token=['{SECRET}'])", "no ExecCredential"),
        (f"info['apiVersion'] += 'beta1'; answer(token='{SECRET}')", "another kind or version"),
        (f"answer(token='{SECRET}', expirationTimestamp='2020-01-01T00:00:00Z')", "expired already (2020-01-01"),
        ("print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential'}))", "neither a token"),
    ],
)
async def test_failing_plugins(
    tmp_path: Path, body: str, words: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CredentialsError) as caught:
        await plugin(tmp_path / "plugin", body).run()
    message = str(caught.value)
    assert f"here: user.exec: credential plugin '{tmp_path / 'plugin'}'" in message
    assert words in message
    assert SECRET not in message + caplog.text + "".join(capfd.readouterr())


async def test_plugin_that_must_ask_needs_a_terminal(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="standard input is not a terminal"):
        await plugin(tmp_path / "plugin", "answer(token='t')", interactive_mode="Always").run()


ON_THE_LOOP_OF_THE_PROGRAMS = """
from moorage.kube.credentials import CredentialsError
from moorage.kube.credentials.plugin import Plugin
from moorage.ops import aio

async def main():
    for command in ("no-such-plugin-here", *sys.argv[2:], sys.argv[1]):
        try:
            credential = await Plugin("here", command, V1, time_limit=0.2).run()
        except CredentialsError:
            print("no credential", flush=True)
        else:
            print(credential.token, flush=True)

sys.exit(aio.run(main, known=()))
"""


def test_whatever_a_plugin_does_the_next_run_has_a_pipe_of_its_own(tmp_path: Path) -> None:
    """Once uvloop closed the pipe of the run before a second time, when the new pipe had its number, and aborted."""
    hangs = script(tmp_path / "hangs", "time.sleep(600)")
    talks = script(tmp_path / "talks", "print('x' * (2 << 20))")
    works = script(tmp_path / "works", "answer(token='t')")
    code = f"import sys\nV1 = {V1!r}\n{ON_THE_LOOP_OF_THE_PROGRAMS}"
    plugins = (works, hangs, "no-such-plugin-here", talks, works, "no-such-plugin-here")
    ran = subprocess.run([sys.executable, "-c", code, *map(str, plugins)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split("\n")) == (0, [*["no credential"] * 4, "t", "no credential", "t", ""]), ran


async def test_too_many_open_files_are_the_reason_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(CredentialsError, match=r"cannot be started: Too many open files\. Raise the limit"):
        await plugin(tmp_path / "plugin", "answer(token='t')").run()


HANGS = """
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other processes set no events
        await asyncio.sleep(0.01)


def ended(pid: str) -> bool:
    """Whether a process has exited, even if it is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


async def test_hanging_plugin_meets_the_time_limit(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"took longer than 0\.2 s"):
        await plugin(tmp_path / "plugin", "time.sleep(600)", time_limit=0.2).run()


async def test_what_a_plugin_leaves_behind_with_its_output_open_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    body = f"""
        left = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(left.pid, file=open({str(pid)!r}, "w"), flush=True)
        time.sleep(600)
        """
    run = asyncio.create_task(plugin(tmp_path / "plugin", body).run())
    await until(lambda: pid.exists() and pid.read_text().endswith("\n"))
    try:
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_cancelled_plugin_ends_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = asyncio.create_task(plugin(tmp_path / "plugin", HANGS, args=(str(pids),)).run())
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for pid in pids.read_text().split():
        await until(partial(ended, pid))


class Counting:
    """A credential source that numbers its credentials."""

    source = "here"

    def __init__(self, life: timedelta | None = None) -> None:
        self.runs = 0
        self.life = life
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.monotonic = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: CredentialsError | None = None

    async def run(self) -> Credential:
        self.runs += 1
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return Credential(f"token-{self.runs}", None, self.now + self.life if self.life else None)

    def authenticator(self) -> ExecAuthenticator:
        tls = TlsContexts("here", None)
        return ExecAuthenticator(self, tls, now=lambda: self.now, monotonic=lambda: self.monotonic)


async def test_credentials_are_kept_until_shortly_before_they_expire() -> None:
    source = Counting(timedelta(minutes=10))
    authenticator = source.authenticator()
    for _ in range(3):
        assert await authenticator.headers() == {"Authorization": "Bearer token-1"}
    source.now += timedelta(minutes=9, seconds=49)
    await authenticator.headers()
    assert source.runs == 1
    source.now += timedelta(seconds=2)
    assert await authenticator.headers() == {"Authorization": "Bearer token-2"}


async def test_short_lived_credentials_are_used_for_most_of_their_life() -> None:
    source = Counting(timedelta(seconds=5))
    authenticator = source.authenticator()
    await authenticator.headers()
    source.now += timedelta(seconds=4.4)
    await authenticator.headers()
    assert source.runs == 1
    source.now += timedelta(seconds=0.2)
    await authenticator.headers()
    assert source.runs == 2


async def test_many_requests_share_one_run_and_one_failure() -> None:
    source = Counting()
    source.gate.clear()
    source.failure = CredentialsError("no")
    authenticator = source.authenticator()
    waiting = [asyncio.create_task(authenticator.headers()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one gives up; the others are not robbed
    await asyncio.sleep(0)
    source.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(r) for r in results] == [asyncio.CancelledError] + [CredentialsError] * 4
    assert source.runs == 1
    source.failure = None
    assert await authenticator.headers() == {"Authorization": "Bearer token-2"}


async def test_refusals_run_the_plugin_again_but_not_wild() -> None:
    source = Counting()
    authenticator = source.authenticator()
    await authenticator.headers()
    for _ in range(20):  # requests that were under way together
        assert await authenticator.refused()
        assert await authenticator.headers() == {"Authorization": "Bearer token-2"}
    source.monotonic += 10
    assert await authenticator.refused()
    assert await authenticator.headers() == {"Authorization": "Bearer token-3"}
