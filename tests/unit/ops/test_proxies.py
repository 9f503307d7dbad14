"""The proxy that the environment names for a server, by the rules of Go's httpproxy."""

from __future__ import annotations

import itertools

import pytest

from moorage.ops.proxies import HTTP, Proxy, ProxyError, checked, find

PROXY = "http://proxy.example.net:3128"


def direct(no_proxy: str, host: str, port: int | None = None, scheme: str = "https") -> bool:
    return find(host, port, {f"{scheme.upper()}_PROXY": PROXY, "NO_PROXY": no_proxy}, scheme=scheme) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "expected"),
    [
        ("", "planner.example.com", 9443, False),
        ("*", "planner.example.com", 9443, True),
        ("a.example, *", "planner.example.com", 9443, True),
        # names
        ("example.com", "example.com", 443, True),
        ("example.com", "planner.example.com", 443, True),
        ("example.com", "notexample.com", 443, False),
        ("Example.COM", "planner.example.com", 443, True),
        ("example.com", "PLANNER.Example.com.", 443, True),
        ("example.com.", "planner.example.com", 443, True),
        (".example.com", "planner.example.com", 443, True),
        (".example.com", "example.com", 443, False),
        ("*.example.com", "planner.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("a.example planner.example.com", "planner.example.com", 443, True),
        (" a.example ,planner.example.com , ", "planner.example.com", 443, True),
        # ports
        ("planner.example.com:9443", "planner.example.com", 9443, True),
        ("planner.example.com:9443", "planner.example.com", 443, False),
        (".example.com:443", "planner.example.com", None, True),
        ("10.1.2.3:9443", "10.1.2.3", 9443, True),
        ("10.1.2.3:9443", "10.1.2.3", 443, False),
        ("[fd00::1]:9443", "fd00::1", 9443, True),
        ("[fd00::1]:9443", "fd00::1", 443, False),
        # addresses and networks
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3", "10.1.2.30", 443, False),
        ("10.0.0.0/8", "10.250.0.1", 443, True),
        ("10.1.2.3/8", "10.250.0.1", 443, True),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("10.0.0.0/8", "planner.example.com", 443, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("fd00::1", "fd00:0::1", 443, True),
        ("[fd00::1]", "fd00::1", 443, True),
        ("fd00::/8", "10.0.0.1", 443, False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 443, True),
        (".0.0.1", "10.0.0.1", 443, False),
        # what needs no proxy in any case
        ("", "localhost", 443, True),
        ("", "127.0.0.1", 443, True),
        ("", "127.8.0.1", 443, True),
        ("", "::1", 443, True),
        ("", "moorage-planner.castai-agent.svc", 9443, True),
        ("", "moorage-planner.castai-agent.svc.cluster.local", 9443, True),
        ("", "svc.example.com", 9443, False),
        # rubbish
        ("10.0.0.0/99, ://, :80, [, .", "planner.example.com", 443, False),
        ("planner.example.com:port", "planner.example.com", 443, False),
        (":80", "planner.example.com", 80, False),
    ],
)
def test_who_needs_no_proxy(no_proxy: str, host: str, port: int | None, expected: bool) -> None:
    assert direct(no_proxy, host, port) is expected


def test_the_port_of_plain_http() -> None:
    assert direct("h.example:80", "h.example", None, scheme="http")
    assert not direct("h.example:443", "h.example", None, scheme="http")


def test_upper_case_is_read_before_lower_case() -> None:
    both = {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}
    assert find("h", 1, both) == Proxy("http://upper:1", "environment variable HTTPS_PROXY")
    assert find("h", 1, {"https_proxy": "http://lower:1"}) == Proxy(
        "http://lower:1", "environment variable https_proxy"
    )
    assert find("h", 1, {**both, "HTTPS_PROXY": " "}) == Proxy("http://lower:1", "environment variable https_proxy")
    assert find("h", 1, {**both, "NO_PROXY": "h", "no_proxy": "other"}) is None
    assert find("h", 1, {**both, "no_proxy": "h"}) is None


def test_only_the_variable_of_the_scheme_counts() -> None:
    assert find("h", 1, {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}) is None
    assert find("h", 1, {"HTTP_PROXY": PROXY}, scheme="http") is not None


def test_a_variable_of_grpc_counts_before_the_others() -> None:
    environ = {"HTTPS_PROXY": "http://all:1", "grpc_proxy": "http://grpc:1", "NO_PROXY": "direct"}
    found = find("h", 1, environ, before="grpc_proxy")
    assert found == Proxy("http://grpc:1", "environment variable grpc_proxy")
    assert find("direct", 1, environ, before="grpc_proxy") is None
    assert find("h", 1, {"HTTPS_PROXY": "http://all:1"}, before="grpc_proxy") is not None


def test_a_proxy_without_a_scheme_is_an_http_proxy() -> None:
    found = find("h", 1, {"HTTPS_PROXY": "user:s3cret@proxy.example.net:3128"})
    assert found is not None
    assert found.url == "http://user:s3cret@proxy.example.net:3128"
    assert found.where == "proxy.example.net:3128"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("url", "explicit"),
    [
        ("http://h", "http://h:80"),
        ("http://h:/", "http://h:80"),
        ("HTTP://h:3128/x?y", "http://h:3128"),
        ("http://[fd00::1]", "http://[fd00::1]:80"),
        ("http://me@h", "http://me:@h:80"),
        ("http://me:p%20s@[fd00::1]:1", "http://me:p%20s@[fd00::1]:1"),
    ],
)
def test_what_others_would_fill_in_is_in_the_url_that_they_get(url: str, explicit: str) -> None:
    assert Proxy(url, "").explicit == explicit


HOSTS = ["", "a..b", ".", "a" * 64 + ".example", "a b", "-a", "ä" * 70, "[::1", "h:port", "h:99999", "h:0", "a/../b"]


@pytest.mark.parametrize(
    "url", [*(f"http://{host}" for host in HOSTS if host != "a/../b"), "ftp://h:1", "socks4://h:1", "://h", "http:"]
)
def test_what_cannot_be_used_is_said_without_the_url(url: str) -> None:
    text = url.replace("://", "://user:s3cret@", 1)
    for value in (url, text):
        with pytest.raises(ProxyError, match="the source") as caught:
            checked(value, "the source")
        assert "http://host:port, https://host:port, socks5://host:port or socks5h://host:port" in str(caught.value)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["https", "socks5", "socks5h", "SOCKS5"])
def test_a_connection_that_knows_fewer_proxies_says_so(scheme: str) -> None:
    with pytest.raises(
        ProxyError, match=f"proxy {scheme.lower()}://… cannot be used. Give a proxy as http://host:port$"
    ):
        find("h", 1, {"HTTPS_PROXY": f"{scheme}://p:1"}, known=(HTTP,))
    assert find("localhost", 1, {"HTTPS_PROXY": f"{scheme}://p:1"}, known=(HTTP,)) is None, "it is not used"


def test_no_rule_and_no_host_ends_in_another_error() -> None:
    parts = ["*", ".", "a", "10.0.0.0", "/8", "[", "]", "::1", ":80", "%", "ä", "é.", "..", "@"]
    rules = ["".join(pair) for pair in itertools.product(parts, repeat=2)]
    for host in [*parts, *rules]:
        direct(",".join(rules), host, 443)
