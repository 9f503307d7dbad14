"""Both ends of the stream for tests: a scripted server, certificates, and a pinner that applies everything."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from moorage.ops.parsing import Address
from moorage.pinner.stream.client import InstructionStream
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.pinner.stream.settings import StreamSettings
from moorage.protocol import (
    Ack,
    Acks,
    Action,
    CreatePlaceholder,
    Hello,
    Instruction,
    Outcome,
    Position,
    Promise,
    ServerMessage,
    SnapshotEnd,
    Welcome,
    codec,
    rpc,
)
from moorage.protocol.rpc import grpc

HANG = 30.0
"""Seconds after which a test that waits for something counts as hanging; nothing is measured by it."""
LOOPBACK = "127.0.0.1"
EPOCH = 1_700_000_000_000


def settings(port: int, **changes: Any) -> StreamSettings:
    """A client of a plaintext server on loopback that reconnects at once."""
    values: dict[str, Any] = {
        "endpoint": PlannerEndpoint(address=Address(LOOPBACK, port), plaintext=True),
        "cluster_id": "cluster-1",
        "replica": "pinner-1",
        "backoff_base": 0.001,
        "backoff_cap": 0.05,
        "look_again": 0.005,
    }
    return StreamSettings(**{**values, **changes})


def promise(name: str) -> Promise:
    return Promise(name, {"cpu": "4", "memory": "8Gi", "pods": "20"})


def instruction(sequence: int, *, epoch: int = EPOCH, key: str = "", action: Action | None = None) -> Instruction:
    """A valid instruction: by default a placeholder for ``node-<sequence>``."""
    issued = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    return Instruction(
        key or f"i-{sequence}",
        Position(epoch, sequence),
        issued,
        issued + timedelta(minutes=10),
        action or CreatePlaceholder(promise(f"node-{sequence}")),
        "plan",
    )


def welcome(sequence: int = 0, *, epoch: int = EPOCH, snapshot: bool = True) -> Welcome:
    return Welcome(Position(epoch, sequence), snapshot, "plan", 5.0)


def snapshot_end(sequence: int, count: int, *, epoch: int = EPOCH) -> SnapshotEnd:
    return SnapshotEnd(Position(epoch, sequence), count)


class Visit:
    """One connection of a client, as the script sees it."""

    def __init__(self, context: Any, hello: Hello) -> None:
        self.hello = hello
        self.context = context
        self._heard: deque[Ack] = deque()

    async def say(self, *messages: ServerMessage | bytes) -> None:
        for message in messages:
            await self.context.write(message if isinstance(message, bytes) else codec.encode_response(message))

    async def hear_ack(self) -> Ack:
        if not self._heard:
            data = await self.context.read()
            assert isinstance(data, bytes), "the client has ended the stream"
            message = codec.decode_request(data)
            assert isinstance(message, Acks)
            self._heard.extend(message.acks)
        return self._heard.popleft()

    async def stay(self) -> None:
        """Say nothing more until the client goes."""
        while isinstance(await self.context.read(), bytes):
            pass


Script = Callable[[Visit], Awaitable[None]]


@asynccontextmanager
async def scripted(*scripts: Script, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Scripted]:
    """A server that gives its first visitor the first script, and so on; later ones get the last again."""
    server = Scripted(scripts)
    await server.start(credentials)
    try:
        yield server
    finally:
        await server.stop()


class Scripted:
    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self._scripts = list(scripts)
        self.hellos: list[Hello] = []
        self.metadata: list[dict[str, str]] = []
        self.port = 0
        self.errors: list[BaseException] = []

    async def start(self, credentials: grpc.ServerCredentials | None) -> None:
        self._server = grpc.aio.server(options=[*rpc.server_options(), ("grpc.max_send_message_length", 64 << 20)])
        handler: Any = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(rpc.SERVICE, {rpc.METHOD: handler}),)
        )
        address = f"{LOOPBACK}:0"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials is not None
            else self._server.add_insecure_port(address)
        )
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)
        assert not self.errors, self.errors

    async def _serve(self, _requests: Any, context: Any) -> None:
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
        data = await context.read()
        hello = codec.decode_request(data)
        assert isinstance(hello, Hello)
        self.hellos.append(hello)
        script = self._scripts[min(len(self.hellos), len(self._scripts)) - 1]
        try:
            await script(Visit(context, hello))
        except AssertionError as error:
            self.errors.append(error)
            raise


class Pinner:
    """Follows a stream and answers, as the pinner does: remembers nothing but the stream itself."""

    def __init__(self, stream: InstructionStream, answer: Callable[[Instruction], Ack | None] | None = None) -> None:
        self.stream = stream
        self.received: list[Instruction | SnapshotEnd] = []
        self._answer = answer or applied
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pinner:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received if isinstance(each, Instruction)]

    async def _follow(self) -> None:
        async with aclosing(self.stream.messages()) as messages:
            async for message in messages:
                self.received.append(message)
                if isinstance(message, Instruction) and (ack := self._answer(message)) is not None:
                    self.stream.ack(ack)
                async with self._changed:
                    self._changed.notify_all()

    async def until(self, condition: Callable[[Pinner], bool]) -> None:
        assert self._task is not None
        async with asyncio.timeout(HANG), self._changed:
            while not condition(self):
                await self._changed.wait()


def applied(each: Instruction) -> Ack:
    return Ack(each.id, each.position, Outcome.APPLIED)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110 - it is about things that have no event
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Authority:
    """A certificate that signs itself and its own server."""

    certificate: bytes
    key: bytes

    @property
    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key, self.certificate)])


def authority(name: str, *, ended: datetime.datetime | None = None, host: str = "") -> Authority:
    """One that is valid for two days: around now, or until it ended; for loopback, and for a host."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(UTC) if ended is None else ended - timedelta(days=1)
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
    names += [x509.DNSName(host)] if host else []
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Authority(certificate.public_bytes(pem), private)
