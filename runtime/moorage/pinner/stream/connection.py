"""One connection to a planner: opened, read with time limits, and every way in which it can end told apart."""

from __future__ import annotations

import asyncio
import enum
import os
import re
from typing import TypeAlias

from moorage.ops import proxies
from moorage.ops.parsing import Address
from moorage.protocol import ClientMessage, ProtocolError, ServerMessage, codec, rpc
from moorage.protocol.rpc import grpc
from moorage.wording import followed

from .credentials import Credentials
from .endpoint import PlannerEndpoint

Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"


class Cause(enum.Enum):
    """Why a stream ended, or never began; the value is the metric's label."""

    ENDED = "ended"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    PROXY = "proxy"
    CERTIFICATE = "certificate"
    UNAUTHENTICATED = "unauthenticated"
    REFUSED = "refused"
    NO_PLANNER = "no-planner"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    FLOOD = "flood"
    GAP = "gap"
    STALE = "stale"
    CREDENTIALS = "credentials"
    OTHER_PROTOCOL = "other-protocol"

    @property
    def wants_a_person(self) -> bool:
        """Whether waiting alone does not help."""
        return self not in (Cause.ENDED, Cause.UNREACHABLE, Cause.SILENT, Cause.GAP)


class StreamBroken(Exception):
    """The connection is of no use any more; ``cause`` says why, the text has the particulars."""

    def __init__(self, cause: Cause, text: str) -> None:
        self.cause = cause
        super().__init__(text)


class Connection:
    """One call; ``close`` it, whatever has happened.

    Args:
        endpoint: the planner.
        shown: what it is shown, and by whom its certificate may be signed.

    Raises:
        StreamBroken: the proxy in the environment cannot be used.
    """

    def __init__(self, endpoint: PlannerEndpoint, shown: Credentials) -> None:
        target = f"dns:///{endpoint.address}"
        self._proxy = proxy_for(endpoint.address)
        options = rpc.client_options(proxy=self._proxy.explicit if self._proxy is not None else "")
        metadata = ((rpc.API_KEY, f"Bearer {shown.key.reveal()}"),) if shown.key is not None else ()
        if endpoint.plaintext:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        else:
            tls = grpc.ssl_channel_credentials(root_certificates=shown.authorities)
            self._channel = grpc.aio.secure_channel(target, tls, options=options)
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(rpc.PATH)
        self._call: Call = method(metadata=metadata)

    def cancel(self) -> None:
        """End the call; ``read`` says that it has ended."""
        self._call.cancel()

    async def close(self) -> None:
        """End the call and the connection."""
        self.cancel()
        await self._channel.close()

    async def read(self, seconds: float) -> ServerMessage | None:
        """The next message; None for one of a kind that is not known here.

        Args:
            seconds: how long to wait at most.

        Raises:
            StreamBroken: there will be none.
            ProtocolError: an instruction that cannot be read, and can be refused by name; the stream goes on.
        """
        try:
            async with asyncio.timeout(seconds):
                data = await self._call.read()
            _still_wanted()
            if not isinstance(data, bytes):  # grpc.aio.EOF
                code, details = await self._call.code(), await self._call.details()
                raise _broken(code, details or "", self._proxy)
        except TimeoutError:
            raise StreamBroken(Cause.SILENT, f"the planner said nothing for {seconds:g} s{_by(self._proxy)}") from None
        except grpc.aio.AioRpcError as error:
            _still_wanted()
            raise _broken(error.code(), error.details() or "", self._proxy) from None
        except asyncio.CancelledError:
            _still_wanted()
            raise StreamBroken(Cause.ENDED, "the call was cancelled") from None
        try:
            return codec.decode_response(data)
        except ProtocolError as error:
            if error.instruction_id or error.position.sequence:
                raise
            raise StreamBroken(Cause.MALFORMED, str(error)) from error

    async def write(self, message: ClientMessage) -> None:
        """Send a message.

        Raises:
            StreamBroken: the call has ended; ``read`` knows why.
        """
        try:
            await self._call.write(codec.encode_request(message))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            _still_wanted()
            raise StreamBroken(Cause.ENDED, "the call has ended") from error
        except asyncio.CancelledError:
            _still_wanted()
            raise StreamBroken(Cause.ENDED, "the call was cancelled") from None
        _still_wanted()


def _still_wanted() -> None:
    """Raise CancelledError when our task is being cancelled.

    grpc.aio mixes two things up: a call that has ended raises CancelledError in whoever waits on it, and a cancellation
    of ours that meets the end of the call gets lost (its task ``_prepare_rpc`` swallows what was meant for us).
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


_BY_CODE = {
    grpc.StatusCode.OK: Cause.ENDED,
    grpc.StatusCode.UNAUTHENTICATED: Cause.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED: Cause.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION: Cause.STALE,
    grpc.StatusCode.INVALID_ARGUMENT: Cause.REFUSED,
    grpc.StatusCode.UNIMPLEMENTED: Cause.NO_PLANNER,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Cause.TOO_LARGE,
    grpc.StatusCode.UNAVAILABLE: Cause.UNREACHABLE,
    grpc.StatusCode.CANCELLED: Cause.ENDED,
}
# Sentences of gRPC core (src/core/tsi, src/core/ext/transport/chttp2), which has one status for all of these.
_HANDSHAKE = (
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "Hostname Verification Check failed",
    "peer name",
)
_NOT_HTTP2 = (
    "http1.x server",
    "non-HTTP/2",
    "SETTINGS frame",
    "WRONG_VERSION_NUMBER",
    "Received http2 header with status",
)


_PROXY_STATUS = re.compile(r"HTTP proxy returned response code (\d+)")


def proxy_for(address: Address) -> proxies.Proxy | None:
    """The proxy through which a planner is asked: GRPC_PROXY, else as for all our connections.

    Raises:
        StreamBroken: it cannot be used. gRPC knows HTTP proxies that are asked without TLS, and no others.
    """
    try:
        return proxies.find(address.host, address.port, os.environ, before="grpc_proxy", known=(proxies.HTTP,))
    except proxies.ProxyError as error:
        way_out = f"gRPC can use no other kind: set GRPC_PROXY for it, or name {address.host} in NO_PROXY"
        raise StreamBroken(Cause.PROXY, followed(str(error), way_out)) from None


def _broken(code: grpc.StatusCode, details: str, proxy: proxies.Proxy | None) -> StreamBroken:
    cause = _BY_CODE.get(code, Cause.REFUSED)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        if any(sentence in details for sentence in _HANDSHAKE):
            cause = Cause.CERTIFICATE
        elif any(sentence in details for sentence in _NOT_HTTP2):
            cause = Cause.NO_PLANNER
        elif proxy is not None and (status := _PROXY_STATUS.search(details)) is not None:
            return StreamBroken(Cause.PROXY, refused_by(proxy, int(status[1])))
    text = f"{code.name}: {details[:500]}" if details else code.name
    if cause is Cause.UNREACHABLE:
        text += _by(proxy)
    return StreamBroken(cause, text)


def _by(proxy: proxies.Proxy | None) -> str:
    """The proxy, at the end of a sentence."""
    return f" (through proxy {proxy.where}, {proxy.source})" if proxy is not None else ""


def refused_by(proxy: proxies.Proxy, status: int) -> str:
    """Why a proxy does not connect us, and what to do about it."""
    hint = "Give user and password in its URL" if status == 407 else "Let it pass, or name the planner in NO_PROXY"
    return f"proxy {proxy.where} ({proxy.source}) answered HTTP {status}. {hint}"
