"""Finds the proxy for a server in the environment. All our connections read it in the same way.

The rules are those of Go's net/http (golang.org/x/net/http/httpproxy), so that a variable means the same for us as for
kubectl. gRPC's own rules differ: it reads names in lower case only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .parsing import host_name

HTTP, HTTPS, SOCKS = "http", "https", ("socks5", "socks5h")
ALL = (HTTP, HTTPS, *SOCKS)
_PORTS = {"https": 443, "http": 80}
_SERVICE = re.compile(r".+\.svc(\..+)?")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProxyError(ValueError):
    """A proxy cannot be used. The message names its source and the way out, and does not show the URL."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: with a scheme. It may hold a password and is not shown.
        source: the origin, for messages.
    """

    url: str = field(repr=False)
    source: str

    @property
    def where(self) -> str:
        """Its host and port, without user and password."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def explicit(self) -> str:
        """The URL of an HTTP proxy with its port and, after a user, a colon: gRPC takes 443 and "user" without them."""
        parts = urlsplit(self.url)
        user, at, place = parts.netloc.rpartition("@")
        colon = ":" if at and ":" not in user else ""
        port = f":{_PORTS[parts.scheme]}" if parts.port is None else ""
        return f"{parts.scheme}://{user}{colon}{at}{place.removesuffix(':')}{port}"


def find(
    host: str,
    port: int | None,
    environ: Mapping[str, str],
    *,
    scheme: str = "https",
    before: str = "",
    known: Collection[str] = ALL,
) -> Proxy | None:
    """The proxy for a server, or None for a direct connection.

    HTTPS_PROXY (HTTP_PROXY for an http server) and NO_PROXY are read, in upper case before lower case. Loopback and
    names of Services (``.svc``), which only the cluster's DNS knows, need no proxy.

    Args:
        host: name or IP address, without brackets.
        port: TCP port; None for the scheme's.
        environ: the environment.
        scheme: of the server, ``http`` or ``https``.
        before: a variable that is read before the others; may be empty.
        known: the proxy schemes that the connection can use.

    Raises:
        ProxyError: the proxy in the variable is unusable.
    """
    names = [name.upper() for name in (before, f"{scheme}_proxy") if name]
    for name in (each for upper in names for each in (upper, upper.lower())):
        url = environ.get(name, "").strip()
        if url:
            break
    else:
        return None
    if _direct(host, port or _PORTS[scheme], environ):
        return None
    source = f"environment variable {name}"
    return Proxy(checked(url if "://" in url else f"http://{url}", source, known), source)


def checked(url: str, source: str, known: Collection[str] = ALL) -> str:
    """Return a proxy's URL if it can be used.

    Args:
        url: with a scheme.
        source: the origin, for the message.
        known: the schemes that the connection can use.

    Raises:
        ProxyError: it cannot be used.
    """
    scheme = url.partition("://")[0].lower()
    try:
        parts = urlsplit(url)
        host_name(parts.hostname or "")
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable and scheme in known:
        raise ProxyError(f"{source}: not a proxy's URL. Write it as {known_forms(known)}")
    if scheme not in known:
        shown = scheme if scheme.isalnum() else "?"
        raise ProxyError(f"{source}: proxy {shown}://… cannot be used. Give a proxy as {known_forms(known)}")
    return url


def known_forms(known: Collection[str]) -> str:
    """The forms of a URL, for messages."""
    forms = [f"{scheme}://host:port" for scheme in known]
    return f"{', '.join(forms[:-1])} or {forms[-1]}" if len(forms) > 1 else forms[0]


def _direct(host: str, port: int, environ: Mapping[str, str]) -> bool:
    name = host.rstrip(".").lower()
    address = _address(name)
    if name == "localhost" or (address is not None and address.is_loopback) or _SERVICE.fullmatch(name):
        return True
    rules = re.split(r"[,\s]+", environ.get("NO_PROXY") or environ.get("no_proxy") or "")
    return any(_matches(rule.lower(), name, port, address) for rule in rules if rule)


def _matches(rule: str, host: str, port: int, address: IpAddress | None) -> bool:
    if rule == "*":
        return True
    if address is not None and (network := _network(rule)) is not None:
        return address in network
    rule_host, colon, rule_port = rule.rpartition(":")
    if colon and rule_port.isascii() and rule_port.isdigit():
        if int(rule_port) != port:
            return False
        rule = rule_host
    rule = rule.strip("[]").rstrip(".")
    if address is not None:
        return _address(rule) == address
    if rule.startswith((".", "*.")):
        return host.endswith(rule.lstrip("*"))
    return host == rule or host.endswith(f".{rule}")


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The addresses of a rule that is an address or a CIDR, without a port."""
    try:
        return ipaddress.ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> IpAddress | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
