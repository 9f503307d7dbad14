"""Finds the HTTP proxy for the API server: from the kubeconfig, else from the environment by Go's rules (net/http)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from .access import CredentialsError


def check(proxy: str, field: str) -> str:
    """Return the proxy, if its kind is supported.

    Raises:
        CredentialsError: the scheme is not http or https, or the host is missing. The message does not show the URL.
    """
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CredentialsError(
            f"{field}: proxy {parts.scheme}://… cannot be used. Give an HTTP proxy as http://host:port or https://host:port"
        )
    return proxy


def from_environment(server: str, environ: Mapping[str, str]) -> str | None:
    """The proxy from HTTPS_PROXY (HTTP_PROXY for an http server) and NO_PROXY, or None.

    Raises:
        CredentialsError: the proxy in the variable is unusable.
    """
    parts = urlsplit(server)
    name = "HTTPS_PROXY" if parts.scheme == "https" else "HTTP_PROXY"
    proxy = environ.get(name) or environ.get(name.lower())
    if not proxy or _direct(parts.hostname or "", parts.port, environ):
        return None
    return check(proxy if "://" in proxy else f"http://{proxy}", f"environment variable {name}")


def _direct(host: str, port: int | None, environ: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    rules = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",")
    return any(_matches(rule.strip().lower(), host.lower(), port, address) for rule in rules)


def _matches(
    rule: str, host: str, port: int | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if not rule:
        return False
    if rule == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(rule.strip("[]"), strict=False)
        except ValueError:
            pass  # not an address: perhaps a name with a port
    rule_host, colon, rule_port = rule.rpartition(":")
    if colon and rule_port.isdigit():
        if int(rule_port) != (port or 443):
            return False
        rule = rule_host.strip("[]")
    if rule.startswith((".", "*.")):
        return host.endswith(rule.lstrip("*"))
    return host == rule or (address is None and host.endswith(f".{rule}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
