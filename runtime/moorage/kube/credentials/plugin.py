"""Exec credential plugins, client.authentication.k8s.io v1 and v1beta1.

Follows client-go plugin/pkg/client/auth/exec/exec.go. The output of a plugin never reaches a log or an error. Its
standard output is the credential. Its standard error goes to the terminal if there is one, else it is discarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

from . import lookup
from .access import CredentialsError
from .tls import KeyPair

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")
MAX_OUTPUT = 1 << 20
TIME_LIMIT = 60.0
"""Time limit, in seconds, of a plugin that does not interact with a person."""
INTERACTIVE_TIME_LIMIT = 300.0
"""Time limit, in seconds, of a plugin that may wait for a person."""


@dataclass(frozen=True)
class Credential:
    """The output of a plugin. Its representation hides all values.

    Attributes:
        token: bearer token, or None.
        pair: client certificate and key, or None.
        expires: the end of its validity; None when it has none.
    """

    token: str | None = field(repr=False)
    pair: KeyPair | None = field(repr=False)
    expires: datetime | None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


@dataclass(frozen=True)
class Plugin:
    """Runs one plugin.

    Attributes:
        source: file and context, for messages.
        command: the program: a name that is searched in our PATH, as in kubectl, or a path.
        args: its arguments. They may hold secrets and are not shown.
        env: variables added to ours. They may hold secrets and are not shown.
        api_version: one of ``API_VERSIONS``.
        interactive_mode: one of ``INTERACTIVE_MODES``.
        install_hint: the text to show when the program is missing.
        cluster: ``spec.cluster`` for the plugin; None without ``provideClusterInfo``.
        time_limit: seconds; None for the default.
    """

    source: str
    command: str
    api_version: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    interactive_mode: str = "IfAvailable"
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    time_limit: float | None = None

    async def run(self) -> Credential:
        """Run the plugin without blocking the loop.

        Raises:
            CredentialsError: the plugin is missing, failed, took too long, or returned an unusable credential.
        """
        interactive = self._interactive()
        output = await self._output(interactive)
        return self._read(output)

    def _interactive(self) -> bool:
        terminal = sys.stdin is not None and sys.stdin.isatty()
        if self.interactive_mode == "Always" and not terminal:
            raise self._error("wants to ask a person, but standard input is not a terminal", "Run it from a terminal")
        return terminal and self.interactive_mode != "Never"

    async def _output(self, interactive: bool) -> bytes:
        spec: dict[str, Any] = {"interactive": interactive}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        env = {**os.environ, **self.env, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        limit = self.time_limit or (INTERACTIVE_TIME_LIMIT if interactive else TIME_LIMIT)
        with self._pipe() as (output, stdout):
            process = await self._start(env, stdout, interactive)
            stdout.close()  # when the plugin closes its copy, the output ends
            return await self._wait(process, output, limit, group=not interactive)

    async def _start(self, env: Mapping[str, str], stdout: BinaryIO, interactive: bool) -> asyncio.subprocess.Process:
        null = asyncio.subprocess.DEVNULL
        try:
            return await asyncio.create_subprocess_exec(
                lookup.find(self.command, os.environ.get("PATH", "")),
                *self.args,
                env=env,
                stdin=None if interactive else null,
                stdout=stdout,
                stderr=None if sys.stderr is not None and sys.stderr.isatty() else null,
                start_new_session=not interactive,  # a process group of its own, so that its children can be killed too
            )
        except lookup.NoProgram as error:
            hint = self.install_hint if error.absent else ""
            raise self._error(error.what, hint or error.way_out) from None
        except FileNotFoundError:  # the program exists, so its interpreter is missing
            way_out = "Install that, or correct exec.command"
            raise self._error("names an interpreter that is not there", way_out) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "its name, arguments or variables hold a null character"
            raise self._error(f"cannot be started: {reason}", "Run it by hand, or correct exec.command") from None

    async def _wait(self, process: asyncio.subprocess.Process, pipe: BinaryIO, limit: float, *, group: bool) -> bytes:
        try:
            async with asyncio.timeout(limit):
                output = await self._everything(pipe)
                status = await process.wait()
        except TimeoutError:
            await _end(process, group=group)
            raise self._error(f"took longer than {limit:g} s", "Run it by hand to see what it waits for") from None
        except BaseException:
            await _end(process, group=group)
            raise
        if status:
            way = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            raise self._error(f"failed ({way})", "Run it by hand to see what it says")
        return output

    async def _everything(self, pipe: BinaryIO) -> bytes:
        output = b""
        while chunk := await _next(pipe):
            output += chunk
            if len(output) > MAX_OUTPUT:
                raise self._error("printed more than 1 MiB", "Its standard output must be the credential only")
        return output

    @contextlib.contextmanager
    def _pipe(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """A pipe for the output: the end to read from, and the end to write to. Both are closed in any case."""
        try:
            read, written = os.pipe()
        except OSError as error:  # too many open files
            raise self._error(f"cannot be started: {error.strerror}", "Raise the limit of open files") from None
        with os.fdopen(read, "rb", buffering=0) as source, os.fdopen(written, "wb") as sink:
            yield source, sink

    def _read(self, output: bytes) -> Credential:
        try:
            answer = msgspec.json.decode(output, type=_ExecCredential)
        except msgspec.DecodeError:  # the error's text could quote the output
            raise self._error("printed something that is no ExecCredential", "Run it by hand and compare") from None
        if answer.kind != "ExecCredential" or answer.api_version != self.api_version:
            raise self._error(
                f"was asked for an ExecCredential of {self.api_version}, and returned another kind or version",
                "Set exec.apiVersion to the version that the plugin speaks",
            )
        status = answer.status or _Status()
        certificate, key = status.client_certificate_data, status.client_key_data
        if bool(certificate) != bool(key):
            raise self._error("returned a certificate without key or the reverse", "Update the plugin")
        if not status.token and not certificate:
            raise self._error("returned neither a token nor a client certificate", "Log in again with its own command")
        expires = status.expiration_timestamp
        if expires is not None and expires.tzinfo is None:
            expires = expires.replace(tzinfo=UTC)
        if expires is not None and expires <= datetime.now(UTC):
            raise self._error(
                f"returned a credential that has expired already ({expires:%Y-%m-%d %H:%M:%S %Z})",
                "Log in again with its own command, and check this machine's clock",
            )
        pair = (certificate.encode(), key.encode()) if certificate and key else None
        return Credential(status.token or None, pair, expires)

    def _error(self, what: str, way_out: str) -> CredentialsError:
        return CredentialsError(f"{self.source}: user.exec: credential plugin {self.command!r} {what}. {way_out}")


async def _next(pipe: BinaryIO) -> bytes:
    """Wait until something is in a pipe and return it; empty bytes at its end.

    The event loop's own pipes of a process are not used. In asyncio, waiting for the process also waits for the pipe to
    be empty and closed. That takes for ever when the plugin printed too much, or when a child of it holds the pipe.
    ``connect_read_pipe`` is not used either. uvloop closes the file descriptor later than we do, when its number may
    belong to another file.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(pipe, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(pipe)
    return pipe.read(65536)


async def _end(process: asyncio.subprocess.Process, *, group: bool) -> None:
    """Kill a plugin, and its process group if it has its own."""
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    await process.wait()
