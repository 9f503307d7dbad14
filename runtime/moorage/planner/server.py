"""The gRPC server of the planner: authentication, TLS, and one session per stream."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.protocol import (
    Acks,
    Hello,
    NodeReports,
    Position,
    ProtocolError,
    ReasonCode,
    ServerMessage,
    Welcome,
    codec,
    rpc,
)
from moorage.protocol.rpc import grpc
from moorage.wording import followed

from . import metrics
from .instruction_store import InstructionStore
from .session import Session, StalePlanner

if TYPE_CHECKING:  # cryptography takes a moment to load, and plaintext on loopback does not need it
    from moorage.controller.pki import KeyPair

logger = logging.getLogger(__name__)

HELLO_TIMEOUT = 10.0

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ServerError(Exception):
    """The planner cannot serve. The text gives the reason and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Address and authentication of the server.

    Attributes:
        address: the address to listen on; port 0 means any free one.
        pair: returns the serving certificate, called for each new connection; None means plaintext, on loopback only.
        api_key: returns the key that pinners must send; None accepts every client, on loopback only.
        heartbeat: seconds between two heartbeats, at most 15.
    """

    address: Address
    pair: Callable[[], KeyPair] | None = None
    api_key: Callable[[], Secret | None] = lambda: None
    heartbeat: float = rpc.HEARTBEAT


class PlannerServer:
    """Serves the instructions of a store to any number of pinners.

    Args:
        store: the instructions.
        settings: address and authentication.
    """

    def __init__(self, store: InstructionStore, settings: ServerSettings) -> None:
        self._store = store
        self._settings = settings
        self._server: grpc.aio.Server | None = None
        self._stopping = asyncio.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        self.port = 0
        self.pinners: dict[str, str] = {}
        """The connected pinners: peer address to ``cluster/replica``."""

    async def start(self) -> None:
        """Listen.

        Raises:
            ServerError: the address is in use.
        """
        settings = self._settings
        server = grpc.aio.server(options=rpc.server_options())
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._stream)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(rpc.SERVICE, {rpc.METHOD: handler}),))
        address = str(settings.address) if settings.address.host else f"[::]:{settings.address.port}"
        try:
            if settings.pair is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, _credentials(settings.pair))
        except RuntimeError as error:
            reason = f"cannot listen on {address}: {error}"
            raise ServerError(followed(reason, "Choose another address with --listen")) from error
        await server.start()
        self._server = server
        logger.info("planner listens", extra={"address": settings.address.host, "port": self.port})

    async def stop(self, grace: float = 1.0) -> None:
        """End all streams. Pinners connect again to another server."""
        self._stopping.set()
        if self._streams:
            await asyncio.wait(self._streams, timeout=grace)
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(grace)

    # --- one stream ---

    async def _stream(self, _requests: AsyncIterator[bytes], context: Context) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - gRPC runs every call in a task
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        peer = context.peer()
        if not self._may_enter(context):
            logger.warning("pinner refused, its API key is missing or wrong", extra={"peer": peer})
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the API key is missing or wrong")
        code, details = await self._end_of(peer, context)
        if code is not grpc.StatusCode.OK:
            with contextlib.suppress(grpc.aio.InternalError):  # the client has gone
                await context.abort(code, details)

    async def _end_of(self, peer: str, context: Context) -> tuple[grpc.StatusCode, str]:
        """Serve one pinner. The result is the final status of the stream."""
        fields = {"peer": peer}
        try:
            hello = await self._hello(context)
            fields |= {"cluster": hello.cluster_id, "replica": hello.replica, "version": hello.version}
            if hello.probe:
                return await self._show(context, fields)
            session = Session(self._store, hello, _sender(context), heartbeat=self._settings.heartbeat)
            logger.info("pinner connected", extra=fields)
            self.pinners[peer] = f"{hello.cluster_id}/{hello.replica}"
            metrics.PINNERS.set(len(self.pinners))
            await self._serve(session, context)
        except ProtocolError as error:
            logger.warning("pinner sent what cannot be read", extra={**fields, "error": str(error)})
            return grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except StalePlanner as error:
            logger.warning("pinner refused, a newer planner has served it", extra={**fields, "error": str(error)})
            return grpc.StatusCode.FAILED_PRECONDITION, str(error)
        except (grpc.aio.UsageError, asyncio.InvalidStateError, grpc.aio.InternalError):
            pass  # a write to a stream that has just ended
        except Exception:
            logger.exception("stream ended by a defect of the planner, please report it", extra=fields)
            return grpc.StatusCode.INTERNAL, "internal error of the planner"
        finally:
            if self.pinners.pop(peer, None) is not None:
                metrics.PINNERS.set(len(self.pinners))
                logger.info("pinner disconnected", extra=fields)
        if self._stopping.is_set():
            return grpc.StatusCode.UNAVAILABLE, "the planner stops"
        return grpc.StatusCode.OK, ""

    async def _show(self, context: Context, fields: dict[str, str]) -> tuple[grpc.StatusCode, str]:
        """Respond to a client that only checks whether a pinner would be served."""
        store = self._store
        if not store.epoch:
            return grpc.StatusCode.UNAVAILABLE, "no plan is served yet"
        welcome = Welcome(Position(store.epoch, 0), False, store.plan, self._settings.heartbeat)
        await context.write(codec.encode_response(welcome))
        logger.info("client checked whether pinners are served", extra=fields)
        return grpc.StatusCode.OK, ""

    async def _serve(self, session: Session, context: Context) -> None:
        """Read and write in parallel, until one of them ends or the planner stops."""
        tasks = {
            asyncio.create_task(self._read(session, context), name="planner stream reader"),
            asyncio.create_task(session.run(), name="planner stream writer"),
            asyncio.create_task(self._stopping.wait(), name="planner stream stop"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            if not task.cancelled():
                task.result()

    async def _read(self, session: Session, context: Context) -> None:
        while isinstance(data := await context.read(), bytes):
            message = codec.decode_request(data)
            if isinstance(message, Acks):
                for ack in message.acks:
                    session.received(ack)
            elif isinstance(message, NodeReports):
                session.reported(message)

    async def _hello(self, context: Context) -> Hello:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                data = await context.read()
        except TimeoutError:
            data = None
        message = codec.decode_request(data) if isinstance(data, bytes) else None
        if not isinstance(message, Hello):
            raise ProtocolError(ReasonCode.MALFORMED, "hello", "must be the first message, and soon")
        return message

    def _may_enter(self, context: Context) -> bool:
        wanted = self._settings.api_key()
        if wanted is None:
            return True
        shown = dict(context.invocation_metadata() or ())
        key = str(shown.get(rpc.API_KEY, "")).removeprefix("Bearer ") or str(shown.get(rpc.API_KEY_PLAIN, ""))
        return hmac.compare_digest(key.encode(), wanted.reveal().encode())


def _sender(context: Context) -> Callable[[ServerMessage], Any]:
    def send(message: ServerMessage) -> Any:
        return context.write(codec.encode_response(message))

    return send


def _credentials(pair: Callable[[], KeyPair]) -> grpc.ServerCredentials:
    """The certificate is fetched for each new connection, so that a renewed one needs no restart."""

    def fetch() -> grpc.ServerCertificateConfiguration:
        current = pair()
        return grpc.ssl_server_certificate_configuration([(current.key, current.certificate)])

    return grpc.dynamic_ssl_server_credentials(fetch(), fetch, require_client_authentication=False)
