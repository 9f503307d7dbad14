"""Why a planner cannot be used, and what to do about it.

gRPC has one status for most of what keeps it from a server, and sentences that change from version to version. So the
step that failed is found by taking the same steps by hand: name, connection, TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from dataclasses import dataclass

from moorage.kube.http.connector import Connector, Endpoint
from moorage.ops import compat
from moorage.ops.parsing import Address
from moorage.ops.proxies import Proxy
from moorage.pinner.stream.connection import Cause, StreamBroken, proxy_for
from moorage.pinner.stream.credentials import Credentials
from moorage.pinner.stream.endpoint import PlannerEndpoint
from moorage.wording import followed

NO_WELCOME = Cause.MALFORMED
_SERVICE = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(\..+)?")
# OpenSSL, include/openssl/x509_vfy.h
_OTHER_NAME = {62, 64}
_OUT_OF_TIME = {9, 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the pinner gets to its planner.

    Attributes:
        endpoint: as the pinner's settings say.
        timeout: seconds for connecting and the welcome.
        inside: whether we look from inside the cluster, where names of Services are known.
    """

    endpoint: PlannerEndpoint
    timeout: float
    inside: bool


async def lacking(way: Way, said: str) -> str:
    """Why the pinner has not what it must show and believe."""
    nobody = await _unresolved(way)
    if nobody and _SERVICE.fullmatch(way.endpoint.address.host):
        return f"{nobody}. {said}"
    return followed(said, "A Secret that was just filled takes up to a minute and a half into a running pod")


async def broken(way: Way, shown: Credentials, end: StreamBroken) -> str:
    """Why a connection ended before there was a welcome."""
    address = way.endpoint.address
    match end.cause:
        case Cause.UNREACHABLE | Cause.SILENT | Cause.ENDED:
            return await _unreachable(way, str(end))
        case Cause.PROXY:
            return str(end)
        case Cause.CERTIFICATE:
            return await _certificate(way, shown, str(end))
        case Cause.UNAUTHENTICATED:
            return _key(way.endpoint, shown)
        case Cause.NO_PLANNER:
            return (
                f"what serves at {address} is no planner, or one of the two speaks TLS and the other does not ({end}). "
                "Name the planner's own address and port"
            )
        case _:
            return followed(f"the planner at {address} does not serve us: {end}", "Look at its log")


# --- name and connection ---


async def _unreachable(way: Way, said: str) -> str:
    address = way.endpoint.address
    proxy = proxy_for(address)
    if proxy is not None:
        return await _unreachable_through(proxy, way, said)
    unresolved = await _unresolved(way)
    if unresolved:
        return unresolved
    try:
        async with asyncio.timeout(way.timeout):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return (
            f"{address} does not answer within {way.timeout:g} s: something on the way drops what is sent there. Look "
            f"for a NetworkPolicy or firewall, and at the address"
        )
    except ConnectionRefusedError:
        service = _SERVICE.fullmatch(address.host)
        whose = f"no pod of Service {service[1]} is ready" if service else "nothing listens there"
        return f"{address} refuses connections: {whose}. Look at the planner's pods and their logs"
    except OSError as error:
        reason = f"{address} cannot be reached: {error.strerror or error}"
        return followed(reason, "Look at the address and the network")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    reason = f"{address} takes connections, and no planner answers there: {said}"
    return followed(reason, "Look at the planner's log")


async def _unreachable_through(proxy: Proxy, way: Way, said: str) -> str:
    """Likewise, of a planner that is asked through a proxy, which also resolves its name."""
    address = way.endpoint.address
    tls = _context(None)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        compat.abort(await _tunnel(proxy, way, tls))
    except OSError as error:
        return followed(str(error), "Look at the proxy; what needs none goes into NO_PROXY")
    reason = f"{address} takes connections through proxy {proxy.where} ({proxy.source})"
    reason = f"{reason}, and no planner answers there: {said}"
    return followed(reason, "Look at the planner's log, and whether the proxy passes HTTP/2")


async def _tunnel(proxy: Proxy, way: Way, tls: ssl.SSLContext) -> asyncio.Transport:
    """Connect to the planner through a proxy, and return the connection below TLS.

    Raises:
        NotConnected: it does not succeed; its cause has the error of TLS.
    """
    address = way.endpoint.address
    server, through = Endpoint.of(f"https://{address}"), Endpoint.of(proxy.url)
    connector = Connector(server, through, timeout=way.timeout, source=proxy.source)
    _, transport = await connector.open(asyncio.Protocol, tls, address.host)
    return transport


async def _unresolved(way: Way) -> str:
    """Why the planner's name leads nowhere; empty when it does not, or is an address."""
    host = way.endpoint.address.host
    try:
        async with asyncio.timeout(way.timeout):
            await asyncio.get_running_loop().getaddrinfo(host, way.endpoint.address.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"the name {host} was not resolved within {way.timeout:g} s. Look at the cluster's DNS"
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            return followed(f"the name {host} cannot be resolved: {error.strerror}", "Look at the DNS")
        return _no_such_name(way.endpoint.address, way.inside)
    return ""


def _no_such_name(address: Address, inside: bool) -> str:
    service = _SERVICE.fullmatch(address.host)
    if service is None:
        return f"there is no host {address.host}. Correct the planner's address (planner.address, --planner-address)"
    if not inside:
        return (
            f"{address.host} is a name inside the cluster, and this is not inside. Run helm test, or run moorage check "
            "in the pinner's pod (kubectl exec)"
        )
    return (
        f"no planner is installed: there is no Service {service[1]} in namespace {service[2]}. Install the chart "
        "moorage-planner there, or name the address of a planner of yours (planner.address)"
    )


# --- what is shown and believed ---


def _key(endpoint: PlannerEndpoint, shown: Credentials) -> str:
    if shown.key is None:
        return (
            f"the planner at {endpoint.address} asks for a key, and none is set. Name a file with it "
            "(MOORAGE_API_KEY_FILE, --api-key-file)"
        )
    in_file = endpoint.key_file is not None and endpoint.key_file.exists()
    source = f"in {endpoint.key_file}" if in_file else f"in {'MOORAGE_API_KEY' if endpoint.key else 'API_KEY'}"
    return (
        f"the planner at {endpoint.address} does not take the key {source}. Give the pinner that planner's key "
        "(planner.apiKeySecretRef), or the planner this one (apiKey.existingSecret of the chart moorage-planner)"
    )


async def _certificate(way: Way, shown: Credentials, said: str) -> str:
    address, file = way.endpoint.address, way.endpoint.ca_file
    try:
        async with asyncio.timeout(way.timeout):
            await _try_certificate(way, _context(shown.authorities))
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_NAME:
            return followed(
                f"the planner's certificate is not for {address.host}: {error.verify_message}",
                "Use an address that it names, or have it made for this one (MOORAGE_TLS_NAMES of the planner)",
            )
        if error.verify_code in _OUT_OF_TIME:
            reason = f"the planner's certificate at {address} is out of its time: {error.verify_message}"
            return followed(reason, "Renew it")
        said = error.verify_message
    except (OSError, TimeoutError):
        pass  # what gRPC has said must do
    believed = f"the authorities in {file}" if file is not None else "the system's authorities"
    return followed(
        f"the planner's certificate at {address} comes from none of {believed}: {said}",
        "Give the pinner the authority of that planner (planner.caSecretRef; of the chart moorage-planner: ca.crt in "
        "Secret moorage-planner-client)",
    )


async def _try_certificate(way: Way, tls: ssl.SSLContext) -> None:
    """Connect as the pinner does, and close the connection.

    Raises:
        OSError: it does not succeed; SSLCertVerificationError when the certificate is not believed.
    """
    address, proxy = way.endpoint.address, proxy_for(way.endpoint.address)
    if proxy is None:
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=tls, server_hostname=address.host)
        compat.abort(writer.transport)  # a goodbye could take half a minute
        return
    try:
        compat.abort(await _tunnel(proxy, way, tls))
    except OSError as error:
        raise error.__cause__ or error from None


def _context(authorities: bytes | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authorities.decode("ascii", "replace") if authorities else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # gRPC asks for no more than what is usual
    context.set_alpn_protocols(["h2"])
    return context
