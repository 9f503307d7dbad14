"""Kubeconfigs: precedence, contexts, and the errors of unusable ones."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moorage.kube.credentials import CredentialsError, load
from moorage.kube.http.connector import Endpoint
from moorage.ops.proxies import Proxy
from tests.unit.kube.credentials.support import EXEC, SECRET, V1, Pki, Write, authorization, b64


async def test_token_of_a_named_kubeconfig(write: Write) -> None:
    path = write({"token": SECRET})
    access = load(path)
    assert access.server == "https://10.1.2.3:6443"
    assert access.source == f"kubeconfig {path}, context 'lab'"
    assert access.namespace is None
    assert await authorization(access) == f"Bearer {SECRET}"
    assert SECRET not in repr(access)


async def test_several_files_merge_as_kubectl_merges(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write({"token": "one"}, name="a/config", context="one", **{"current-context": ""})
    second = write(
        {"token": "two"},
        name="b/config",
        context="two",
        users=[{"name": "one", "user": {"token": "shadowed"}}, {"name": "two", "user": {"token": "two"}}],
    )
    third = write({"token": "three"}, name="c/config", context="three")
    missing = third.parent / "missing"
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, [missing, first, "", second, third])))
    assert await authorization(load()) == "Bearer two"
    assert await authorization(load(context="one")) == "Bearer one"
    assert await authorization(load(context="three")) == "Bearer three"


async def test_paths_are_relative_to_their_file(write: Write, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        {"tokenFile": "secret/token"}, {"server": "https://h:1", "certificate-authority": "ca.pem"}, name="sub/config"
    )
    (path.parent / "secret").mkdir()
    (path.parent / "secret/token").write_text(f"{SECRET}\n")
    (path.parent / "ca.pem").write_bytes(pki.ca)
    monkeypatch.chdir("/")
    access = load(path)
    assert await authorization(access) == f"Bearer {SECRET}"
    context = access.authenticator.ssl_context()
    assert context is not None
    assert [c["subject"] for c in context.get_ca_certs()] == [((("commonName", "test-ca"),),)]


def test_details_of_a_context(write: Write) -> None:
    path = write(
        {"token": "t"},
        {"server": "https://h:1/base/", "tls-server-name": "kubernetes", "proxy-url": f"http://u:{SECRET}@proxy:3128"},
        contexts=[{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "team"}}],
    )
    access = load(path)
    assert (access.server, access.tls_server_name, access.namespace) == ("https://h:1/base", "kubernetes", "team")
    assert access.proxy == Proxy(f"http://u:{SECRET}@proxy:3128", "proxy-url of the kubeconfig")
    assert SECRET not in repr(access)


async def test_impersonation(write: Write) -> None:
    access = load(write({"token": "t", "as": "jane", "as-groups": ["dev"], "as-user-extra": {"a/b": ["c"]}}))
    headers = await access.authenticator.headers()
    assert {k: v for k, v in headers.items() if k != "Authorization"} == {
        "Impersonate-User": "jane",
        "Impersonate-Group": "dev",
        "Impersonate-Extra-a%2Fb": "c",
    }


async def test_several_groups_and_values_are_several_headers(write: Write) -> None:
    extra = {"a/b": ["c", "d"], "e": ["f"], "g": []}
    user = {"token": "t", "as": "jane", "as-uid": "u-1", "as-groups": ["dev", "ops"], "as-user-extra": extra}
    headers = await load(write(user)).authenticator.headers()
    assert {k: v for k, v in headers.items() if k != "Authorization"} == {
        "Impersonate-User": "jane",
        "Impersonate-Uid": "u-1",
        "Impersonate-Group": ("dev", "ops"),
        "Impersonate-Extra-a%2Fb": ("c", "d"),
        "Impersonate-Extra-e": "f",
    }


@pytest.mark.parametrize(
    "user", [{"as-groups": ["ok", "a\r\nX-Evil: 1"]}, {"as-user-extra": {"k": ["ok", "a\nb"]}}, {"as-uid": "a\tb"}]
)
def test_no_value_of_several_can_add_headers(write: Write, user: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError, match=r"user\.as"):
        load(write({"token": "t", "as": "jane", **user}))


@given(st.from_regex(r"(https?|ftp)?(://)?[a-zA-Z0-9.:@/\[\]%ä_ \n-]{0,20}", fullmatch=True) | st.text(max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("https://a..b")
@example("https://" + "a" * 64)
@example("https://[::1")
@example("https://h:99999")
@example("https://\u2488com")
@example("https://a b")
@example("https://-a")
@example("https://h/a b")
def test_any_server_is_usable_or_called_so(write: Write, url: str) -> None:
    try:
        access = load(write({"token": "t"}, {"server": url, "insecure-skip-tls-verify": True}))
    except CredentialsError as error:
        if "cluster.server: not a server's URL. Write it as https://host:port" not in str(error):
            raise
        return
    server = Endpoint.of(access.server)
    assert server.authority.isascii()
    assert not set(server.authority + server.path) & set(" \r\n\t")
    assert server.path.isascii()


@pytest.mark.parametrize("field", ["tls-server-name", "proxy-url"])
@pytest.mark.parametrize("host", ["a..b", ".", "a" * 64, "a b", "[::1", "-"])
def test_other_hosts_are_usable_or_called_so(write: Write, field: str, host: str) -> None:
    value = f"http://{host}" if field == "proxy-url" else host
    with pytest.raises(CredentialsError, match=rf"cluster\.{field}: not "):
        load(write({"token": "t"}, {"server": "https://h", "insecure-skip-tls-verify": True, field: value}))


def test_impersonation_cannot_add_headers(write: Write) -> None:
    with pytest.raises(CredentialsError, match=r"user\.as"):
        load(write({"token": "t", "as": "jane\r\nX-Evil: 1"}))


async def test_nothing_secret_travels_unencrypted(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    access = load(write({"token": SECRET}, {"server": "http://10.0.0.1:8080"}))
    assert await access.authenticator.headers() == {}
    assert access.authenticator.ssl_context() is None
    assert "plain HTTP to the API server, no credentials are sent" in caplog.messages


def test_skipping_verification(write: Write) -> None:
    access = load(write({"token": "t"}, {"server": "https://h", "insecure-skip-tls-verify": True}))
    context = access.authenticator.ssl_context()
    assert context is not None
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname
    default = load(write({"token": "t"})).authenticator.ssl_context()
    assert default is not None
    assert default.verify_mode == ssl.CERT_REQUIRED
    assert default.check_hostname


# --- what is wrong, and the way out ---


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"username": "u", "password": SECRET}, None, ["user.password", "basic authentication", "Use a token"]),
        ({"auth-provider": {"name": "gcp", "config": {"token": SECRET}}}, None, ["auth-provider", "exec plugin"]),
        ({"client-certificate-data": b64(b"x")}, None, ["user.client-key is missing"]),
        ({"client-key-data": b64(SECRET.encode())}, None, ["user.client-certificate is missing"]),
        ({"client-certificate-data": SECRET + "!", "client-key-data": "eA=="}, None, ["certificate-data: not base64"]),
        ({"tokenFile": "nowhere"}, None, ["user.tokenFile: cannot read", "nowhere", "No such file", "Check"]),
        ({"tokenFile": "a\0b"}, None, ["user.tokenFile: cannot read", "the path holds a null character"]),
        ({"token": [SECRET]}, None, ["$.users[0].user.token", "Expected `str | null`", "Correct this field"]),
        ({"exec": {**EXEC, "command": ""}}, None, ["user.exec.command is missing"]),
        ({"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, None, ["apiVersion", V1]),
        ({"exec": {"command": "p", "apiVersion": V1}}, None, ["interactiveMode", "Never, IfAvailable, Always"]),
        ({"exec": {**EXEC, "interactiveMode": "Perhaps"}}, None, ["interactiveMode"]),
        ({"token": "t", "as-groups": ["a"]}, None, ["user.as is missing"]),
        ({"token": "t"}, {"server": "10.0.0.1:6443"}, ["cluster.server", "https://host:port"]),
        ({"token": "t"}, {"server": f"https://me:{SECRET}@h"}, ["cluster.server", "https://host:port"]),
        ({"token": "t"}, {"server": "https://h:port"}, ["cluster.server", "https://host:port"]),
        (
            {"token": "t"},
            {"server": "https://h", "proxy-url": f"socks4://u:{SECRET}@p"},
            ["cluster.proxy-url", "socks4", "socks5://host:port"],
        ),
        (
            {"token": "t"},
            {"server": "https://h", "insecure-skip-tls-verify": True, "certificate-authority-data": "eA=="},
            ["contradicts certificate-authority"],
        ),
    ],
)
def test_unusable_fields_are_named(write: Write, user: Any, cluster: Any, words: list[str]) -> None:
    path = write(user, cluster)
    with pytest.raises(CredentialsError) as caught:
        load(path)
    message = str(caught.value)
    for word in [str(path), *words]:
        assert word in message
    assert SECRET not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"users: [{{name: a, user: {{token: {SECRET}}}", ["not YAML (line 1"]),
        (f"users:\n  token: *{SECRET}", ["not YAML (line 2"]),
        ("[]", ["Expected `object`"]),
        ("\x00", ["not YAML"]),
        ("clusters: [{name: a}, {name: a}]", ["clusters: the name 'a' occurs twice"]),
        *((text, ["not YAML"]) for text in ("!!int ''", "!!bool x", "!!timestamp x", "a: 2001-99-99", "[" * 3000)),
        ("", ["current-context is not set", "--context"]),
        ("current-context: x\ncontexts: [{name: y}]", ["there is no context 'x'", "it knows: y"]),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]", ["there is no cluster 'c'"]),
        (
            "current-context: x\nclusters: [{name: c}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]",
            ["there is no user 'u'"],
        ),
    ],
)
def test_broken_files_are_explained(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CredentialsError) as caught:
        load(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)
    assert SECRET not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="no such file"):
        load(tmp_path / "nowhere")
    with pytest.raises(CredentialsError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(CredentialsError, match="not YAML"):
        load(tmp_path / "binary")


def test_no_configuration_at_all(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"home/\.kube/config not found, and this is not a pod"):
        load()


@pytest.mark.parametrize("token", ["", " \n", "two\nlines", "ümlaut", "a b"])
async def test_tokens_that_fit_no_header(write: Write, token: str) -> None:
    path = write({"tokenFile": "token"})
    (path.parent / "token").write_text(token)
    with pytest.raises(CredentialsError, match="token"):
        await load(path).authenticator.headers()
