"""Converts texts of settings into values. Each function raises ValueError with the problem and the expected form."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?", re.IGNORECASE)
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port; an empty host means all addresses when listening.

    Attributes:
        host: name or IP address, an IPv6 address without its brackets.
        port: 0 to 65535; 0 only for listening, where the system then chooses.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether this address can only be this machine."""
        if _is_address(self.host):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


def text(value: str) -> str:
    """Any text that is not blank."""
    if not value.strip():
        raise ValueError("it is blank")
    return value.strip()


def name(value: str) -> str:
    """A namespace (RFC 1123 label)."""
    if not _NAME.fullmatch(value):
        raise ValueError("a name has at most 63 small letters, digits and '-', like castai-agent")
    return value


def subdomain(value: str) -> str:
    """The name of a pod or a Lease (RFC 1123 subdomain)."""
    if len(value) > 253 or not _SUBDOMAIN.fullmatch(value):
        raise ValueError("a name has small letters, digits, '-' and '.', like castai-pod-pinner-7d9c5b8f6-x2x7p")
    return value


def host_names(value: str) -> tuple[str, ...]:
    """DNS names and IP addresses, separated by commas.

    An address has the one form that certificates are compared by.
    """
    result = tuple(_host_name(part.strip().lower()) for part in value.split(",") if part.strip())
    if not result:
        raise ValueError("it names nothing")
    return result


def webhook_url(value: str) -> str:
    """The URL of a webhook for the API server: HTTPS, a host, and the served path."""
    try:
        url = urlsplit(value)
        host_name(url.hostname or "")
        usable = url.scheme == "https" and url.port != 0 and url.username is None
    except ValueError:  # host or port
        usable = False
    if not usable or url.path != "/mutate" or url.query or url.fragment:
        raise ValueError("write https://HOST:PORT/mutate, like https://10.0.0.7:9444/mutate")
    return value


def host_name(host: str) -> str:
    """The host of a URL as a connection needs it: an IP address, or a DNS name in ASCII without a dot at its end.

    Args:
        host: without brackets. An IPv6 address may have a zone.

    Raises:
        ValueError: it is neither.
    """
    if _is_address(host):
        return host
    try:
        name = host.removesuffix(".").encode("idna").decode()
    except UnicodeError as error:  # an empty label, or one of more than 63 characters
        raise ValueError("the host is no host name and no IP address") from error
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("the host is no host name and no IP address")
    return name


def _host_name(value: str) -> str:
    if _is_address(value):
        return str(ipaddress.ip_address(value))
    if len(value) > 253 or not _SUBDOMAIN.fullmatch(value):
        raise ValueError(f"{value[:100]!r} is neither a DNS name nor an IP address")
    return value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def boolean(value: str) -> bool:
    """``true`` or ``false``, also 1/0, yes/no, on/off."""
    lowered = value.strip().lower()
    if lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    raise ValueError("write true or false")


def seconds(value: str) -> float:
    """A duration as Kubernetes writes it (``90s``, ``1m30s``), in seconds, above zero and at most a day."""
    if not _DURATION.fullmatch(value):
        raise ValueError("write a duration with its unit, like 500ms, 90s, 10m or 1h30m")
    total = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))
    if not 0 < total <= 24 * 3600:
        raise ValueError("a duration is longer than 0 and at most 24h")
    return total


def duration(value: str) -> float:
    """Like ``seconds``, but zero is allowed: ``0s``."""
    return 0.0 if re.fullmatch(r"0(ms|s|m|h)?", value) else seconds(value)


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number in a range, both ends included."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,9}", value.strip()) or not least <= int(value) <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return int(value)

    return parse


def amount(value: str) -> float:
    """A number from zero on, such as ``7.0``."""
    if not re.fullmatch(r"[0-9]{1,9}([.][0-9]{1,9})?", value.strip()):
        raise ValueError("write a number from 0 on, like 7.0")
    return float(value)


amount.unit = ""  # type: ignore[attr-defined]  # other numbers with a fraction are seconds


def remote_address(value: str) -> Address:
    """``host:port`` to connect to."""
    address = _address(value)
    if not address.host or not address.port:
        raise ValueError("write host and port, like moorage-planner.castai-agent:9443")
    return address


def listen_address(value: str) -> Address:
    """``host:port`` to listen on; ``:port`` means all addresses."""
    return _address(value)


def _address(value: str) -> Address:
    if "://" in value:
        raise ValueError("write host and port without a scheme, like moorage-planner.castai-agent:9443")
    host, colon, port = value.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("write host and port (0 to 65535), like moorage-planner.castai-agent:9443")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError as error:
            raise ValueError("the text in brackets is not an IPv6 address; write it like [::1]:9443") from error
    elif ":" in host:
        raise ValueError("put the IPv6 address in brackets, like [::1]:9443")
    elif host and not host.isascii():
        raise ValueError("the host has characters no host name has; write it like moorage-planner.castai-agent:9443")
    elif host:
        try:
            host_name(host)
        except ValueError as error:
            raise ValueError(f"{error}; write it like moorage-planner.castai-agent:9443") from error
    return Address(host, int(port))


def readable_file(value: str) -> Path:
    """A file that can be read now."""
    path = Path(value).expanduser()
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}; name a readable file") from error
    return path


def pem_file(value: str) -> Path:
    """A file with certificates in PEM form."""
    path = readable_file(value)
    if b"-----BEGIN CERTIFICATE-----" not in path.read_bytes():
        raise ValueError("it holds no certificate; name a PEM file with 'BEGIN CERTIFICATE' in it")
    return path


def one_of(*choices: str) -> Callable[[str], str]:
    """One of a set of words."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return value

    parse.choices = choices  # type: ignore[attr-defined]
    return parse
