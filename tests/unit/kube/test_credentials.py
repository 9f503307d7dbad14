import asyncio
import base64
import json
import logging
import os
import ssl
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from moorage.kube.credentials import Access, CredentialsError, incluster, load
from moorage.kube.credentials.exec import ExecAuthenticator
from moorage.kube.credentials.files import WatchedFile
from moorage.kube.credentials.plugin import Credential, Plugin
from moorage.kube.credentials.proxies import from_environment
from moorage.kube.credentials.tls import TlsContexts
from moorage.kube.errors import Unauthorized
from moorage.kube.transport import Transport

SECRET = "s3cr3t-t0ken"
V1 = "client.authentication.k8s.io/v1"


# A small PKI


@dataclass
class Pki:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, password: bytes | None = None) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(name, key, self.certificate.subject).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        )
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password)
        return (
            certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
        )


def _builder(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None = None) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
    )


def new_pki(name: str = "test-ca") -> Pki:
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _builder(name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Pki(key, ca.sign(key, hashes.SHA256()))


@pytest.fixture(scope="module")
def pki() -> Pki:
    return new_pki()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("KUBE") or "PROXY" in name.upper():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(incluster, "SERVICE_ACCOUNT", tmp_path / "no-service-account")


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a kubeconfig with one context; ``user`` and ``cluster`` are its sections."""

    def _write(
        user: Any = None, cluster: Any = None, *, name: str = "config", context: str = "lab", **more: Any
    ) -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster or {"server": "https://10.1.2.3:6443"}}],
            "users": [{"name": context, "user": user}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
            **more,
        }
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document))
        return path

    return _write


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def authorization(access: Access) -> str | None:
    return (await access.authenticator.headers()).get("Authorization")


# Which configuration


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
    assert access.proxy == f"http://u:{SECRET}@proxy:3128"
    assert SECRET not in repr(access)


async def test_impersonation(write: Write) -> None:
    access = load(write({"token": "t", "as": "jane", "as-groups": ["dev"], "as-user-extra": {"a/b": ["c"]}}))
    headers = await access.authenticator.headers()
    assert {k: v for k, v in headers.items() if k != "Authorization"} == {
        "Impersonate-User": "jane",
        "Impersonate-Group": "dev",
        "Impersonate-Extra-a%2Fb": "c",
    }


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


# What is wrong, and the way out

EXEC = {"command": "p", "apiVersion": V1, "interactiveMode": "Never"}


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"username": "u", "password": SECRET}, None, ["user.password", "basic authentication", "Use a token"]),
        ({"auth-provider": {"name": "gcp", "config": {"token": SECRET}}}, None, ["auth-provider", "exec plugin"]),
        ({"client-certificate-data": b64(b"x")}, None, ["user.client-key is missing"]),
        ({"client-key-data": b64(SECRET.encode())}, None, ["user.client-certificate is missing"]),
        ({"client-certificate-data": SECRET + "!", "client-key-data": "eA=="}, None, ["certificate-data: not base64"]),
        ({"tokenFile": "nowhere"}, None, ["user.tokenFile: cannot read", "nowhere", "No such file", "Check"]),
        ({"token": [SECRET]}, None, ["$.users[0].user.token", "Expected `str | null`", "Correct this field"]),
        ({"exec": {**EXEC, "command": ""}}, None, ["user.exec.command is missing"]),
        ({"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, None, ["apiVersion", V1]),
        ({"exec": {"command": "p", "apiVersion": V1}}, None, ["interactiveMode", "Never, IfAvailable, Always"]),
        ({"exec": {**EXEC, "interactiveMode": "Perhaps"}}, None, ["interactiveMode"]),
        ({"token": "t", "as-groups": ["a"]}, None, ["user.as is missing"]),
        ({"token": "t", "as": "x", "as-groups": ["a", "b"]}, None, ["only one group"]),
        ({"token": "t"}, {"server": "10.0.0.1:6443"}, ["cluster.server", "https://host:port"]),
        ({"token": "t"}, {"server": f"https://me:{SECRET}@h"}, ["cluster.server", "https://host:port"]),
        ({"token": "t"}, {"server": "https://h:port"}, ["cluster.server", "https://host:port"]),
        (
            {"token": "t"},
            {"server": "https://h", "proxy-url": f"socks5://u:{SECRET}@p"},
            ["cluster.proxy-url", "socks5"],
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
    with pytest.raises(CredentialsError, match=r"not YAML|not text"):
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


# TLS


def test_client_certificates(write: Write, pki: Pki) -> None:
    certificate, key = pki.issue("me")
    user = {"client-certificate-data": b64(certificate), "client-key-data": b64(key)}
    access = load(write(user, {"server": "https://h", "certificate-authority-data": b64(pki.ca)}))
    context = access.authenticator.ssl_context()
    assert context is not None
    assert access.authenticator.ssl_context() is context


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda pki: (pki.issue("me")[0], pki.issue("you")[1]), "belong together"),
        (lambda _: (b"garbage", b"garbage"), "PEM certificate and its key"),
        (lambda pki: pki.issue("me", password=b"pw"), "the key is encrypted"),
    ],
)
def test_unusable_client_certificates(
    write: Write, pki: Pki, make: Callable[[Pki], tuple[bytes, bytes]], words: str
) -> None:
    certificate, key = make(pki)
    access = load(write({"client-certificate-data": b64(certificate), "client-key-data": b64(key)}))
    with pytest.raises(CredentialsError, match=words):
        access.authenticator.ssl_context()


def test_unusable_ca(write: Write) -> None:
    access = load(write({"token": "t"}, {"server": "https://h", "certificate-authority-data": b64(b"no PEM")}))
    with pytest.raises(CredentialsError, match="certificate-authority: no usable certificate"):
        access.authenticator.ssl_context()


def test_a_rotated_ca_makes_a_new_context_and_a_broken_one_does_not(
    tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    file = tmp_path / "ca.crt"
    file.write_bytes(pki.ca)
    contexts = TlsContexts("here", WatchedFile(file, "here: CA", lambda: now))
    first = contexts.current()
    now += 2
    assert contexts.current() is first
    file.write_bytes(b"half a certif")
    now += 2
    assert contexts.current() is first
    assert contexts.current() is first
    assert caplog.messages.count("new certificate unusable, keeping the previous one") == 1
    file.write_bytes(pki.ca + new_pki("next-ca").ca)
    now += 2
    second = contexts.current()
    assert second is not first
    assert len(second.get_ca_certs()) == 2


# Files that change


def test_a_file_is_read_again_when_it_changes_and_each_minute(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "token"
    file.write_text("one")
    watched = WatchedFile(file, "token", lambda: now)
    assert watched.read() == b"one"
    stat = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size and time: only the minute finds it
    now = 2.0
    assert watched.read() == b"one"
    now = 60.0
    assert watched.read() == b"two"
    file.write_text("three")
    assert watched.read() == b"two"  # within the same second nobody looks
    now = 61.0
    assert watched.read() == b"three"
    file.write_text("four")
    assert watched.read(now=True) == b"four"


def test_a_vanished_file_keeps_its_last_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    file = tmp_path / "token"
    file.write_text("one")
    watched = WatchedFile(file, "token", lambda: now)
    watched.read()
    file.unlink()
    for moment in (2.0, 4.0, 70.0):
        now = moment
        assert watched.read() == b"one"
    assert caplog.messages == ["credential file unreadable, using its last content"]
    file.write_text("")
    now = 80.0
    assert watched.read() == b"one"
    file.write_text("new")
    now = 82.0
    assert watched.read() == b"new"


async def test_refused_helps_when_the_token_file_changed(write: Write) -> None:
    path = write({"tokenFile": "token"})
    (path.parent / "token").write_text("old")
    access = load(path)
    assert await authorization(access) == "Bearer old"
    assert not await access.authenticator.refused()
    (path.parent / "token").write_text("new")
    assert await access.authenticator.refused()
    assert await access.authenticator.refused()  # a second request that was sent with the old one
    assert await authorization(access) == "Bearer new"


async def test_refused_does_not_help_a_written_down_token(write: Write) -> None:
    assert not await load(write({"token": "t"})).authenticator.refused()


# In a pod


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pki: Pki) -> Path:
    directory = tmp_path / "serviceaccount"
    # As the kubelet lays it out: the names are links into a directory that is swapped.
    for generation in ("1", "2"):
        (directory / generation).mkdir(parents=True)
        (directory / generation / "token").write_text(f"token-{generation}\n")
    (directory / "..data").symlink_to("1")
    (directory / "token").symlink_to("..data/token")
    (directory / "ca.crt").write_bytes(pki.ca)
    (directory / "namespace").write_text("castai-agent")
    monkeypatch.setattr(incluster, "SERVICE_ACCOUNT", directory)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return directory


async def test_in_a_pod(pod: Path) -> None:
    access = load()
    assert (access.server, access.namespace, access.source) == ("https://[fd00::1]:443", "castai-agent", "in-cluster")
    assert await authorization(access) == "Bearer token-1"
    (pod / "..new").symlink_to("2")
    (pod / "..new").rename(pod / "..data")
    assert await access.authenticator.refused()
    assert await authorization(access) == "Bearer token-2"


def test_a_named_kubeconfig_or_context_wins_over_the_pod(
    pod: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write({"token": "t"})
    assert load(path).server == "https://10.1.2.3:6443"
    with pytest.raises(CredentialsError, match="no kubeconfig"):
        load(context="lab")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert load().server == "https://10.1.2.3:6443"


def test_a_broken_pod_is_explained(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod / "ca.crt").unlink()
    with pytest.raises(CredentialsError, match=r"in-cluster: CA: cannot read .*ca\.crt: No such file"):
        load()
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(CredentialsError, match="KUBERNETES_SERVICE_PORT do not name an API server"):
        load()


# Proxies of the environment


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [
        ("https://h:6443", "", "http://proxy:3128"),
        ("https://127.0.0.1:6443", "", None),
        ("https://[::1]:6443", "", None),
        ("https://localhost:6443", "", None),
        ("https://10.1.2.3", "10.0.0.0/8", None),
        ("https://10.1.2.3", "11.0.0.0/8, 10.1.2.3", None),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", None),
        ("https://10.1.2.3:6443", "10.1.2.3:7443", "http://proxy:3128"),
        ("https://[fd00::1]", "fd00::/8", None),
        ("https://api.example.com", "example.com", None),
        ("https://example.com", ".example.com", "http://proxy:3128"),
        ("https://api.example.com", "*.example.com", None),
        ("https://notexample.com", "example.com", "http://proxy:3128"),
        ("https://h", "*", None),
        ("http://h", "", None),
    ],
)
def test_proxy_of_the_environment(server: str, no_proxy: str, expected: str | None) -> None:
    assert from_environment(server, {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": no_proxy}) == expected


def test_unusable_proxy_of_the_environment() -> None:
    with pytest.raises(CredentialsError, match="variable HTTPS_PROXY: proxy socks5://… cannot be used") as caught:
        from_environment("https://h", {"https_proxy": f"socks5://u:{SECRET}@h"})
    assert SECRET not in str(caught.value)


# Exec plugins


def script(path: Path, body: str) -> Path:
    """A plugin written in Python: ``answer(**status)`` prints an ExecCredential, ``info`` is what it was told."""
    prelude = """\
        import json, os, subprocess, sys, time
        info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
        def answer(**status):
            print(json.dumps({"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}))
        """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\n" + textwrap.dedent(prelude) + textwrap.dedent(body))
    path.chmod(0o755)
    return path


def plugin(path: Path, body: str, **options: Any) -> Plugin:
    return Plugin("here", str(script(path, body)), V1, **options)


async def test_plugin_is_told_what_kubectl_tells_it(write: Write, tmp_path: Path, pki: Pki) -> None:
    script(
        tmp_path / "bin/plugin",
        """
        told = {"info": info, "args": sys.argv[1:], "extra": os.environ["EXTRA"], "stdin": sys.stdin.read()}
        print("private words", file=sys.stderr)
        open(os.environ["TOLD"], "w").write(json.dumps(told))
        answer(token="from-plugin")
        """,
    )
    exec_config = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./bin/plugin",  # relative to the kubeconfig
        "args": ["--region", "north"],
        "env": [{"name": "EXTRA", "value": "more"}, {"name": "TOLD", "value": str(tmp_path / "told")}],
        "provideClusterInfo": True,
    }
    cluster = {
        "server": "https://h:6443",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": b64(pki.ca),
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
    }
    access = load(write({"exec": exec_config}, cluster))
    assert await authorization(access) == "Bearer from-plugin"
    told = json.loads((tmp_path / "told").read_text())
    assert told == {
        "info": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "kind": "ExecCredential",
            "spec": {
                "interactive": False,
                "cluster": {
                    "server": "https://h:6443",
                    "tls-server-name": "kubernetes",
                    "certificate-authority-data": b64(pki.ca),
                    "config": {"audience": "a"},
                },
            },
        },
        "args": ["--region", "north"],
        "extra": "more",
        "stdin": "",
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"print('{SECRET}', file=sys.stderr); sys.exit(3)", "failed (exit status 3). Run it by hand"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9"),
        (f"print('{SECRET}')", "printed something that is no ExecCredential"),
        ("print('x' * (1 << 21))", "printed more than 1 MiB"),
        ("answer()", "neither a token nor a client certificate"),
        (f"answer(clientCertificateData='{SECRET}')", "a certificate without key"),
        (f"answer(token=['{SECRET}'])", "no ExecCredential"),
        (f"info['apiVersion'] += 'beta1'; answer(token='{SECRET}')", "another kind or version"),
        (f"answer(token='{SECRET}', expirationTimestamp='2020-01-01T00:00:00Z')", "expired already (2020-01-01"),
        ("print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential'}))", "neither a token"),
    ],
)
async def test_failing_plugins(
    tmp_path: Path, body: str, words: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CredentialsError) as caught:
        await plugin(tmp_path / "plugin", body).run()
    message = str(caught.value)
    assert f"here: user.exec: credential plugin '{tmp_path / 'plugin'}'" in message
    assert words in message
    assert SECRET not in message + caplog.text + "".join(capfd.readouterr())


async def test_missing_plugin_shows_the_install_hint(write: Write) -> None:
    exec_config = {**EXEC, "command": "no-such-plugin-here", "installHint": "Get it from\x1b[31m the team"}
    with pytest.raises(CredentialsError, match=r"was not found\. Get it from\[31m the team"):
        await load(write({"exec": exec_config})).authenticator.headers()


async def test_plugin_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_text("text")
    with pytest.raises(CredentialsError, match="cannot be started: Permission denied"):
        await Plugin("here", str(tmp_path / "plugin"), V1).run()


async def test_plugin_that_must_ask_needs_a_terminal(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="standard input is not a terminal"):
        await plugin(tmp_path / "plugin", "answer(token='t')", interactive_mode="Always").run()


HANGS = """
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other processes set no events
        await asyncio.sleep(0.01)


def ended(pid: str) -> bool:
    """Whether a process has ended, even if nobody has reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


async def test_hanging_plugin_meets_the_time_limit(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"took longer than 0\.2 s"):
        await plugin(tmp_path / "plugin", "time.sleep(600)", time_limit=0.2).run()


async def test_cancelled_plugin_ends_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = asyncio.create_task(plugin(tmp_path / "plugin", HANGS, args=(str(pids),)).run())
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for pid in pids.read_text().split():
        await until(partial(ended, pid))


class Counting:
    """A credential source that numbers what it hands out."""

    source = "here"

    def __init__(self, life: timedelta | None = None) -> None:
        self.runs = 0
        self.life = life
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.monotonic = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: CredentialsError | None = None

    async def run(self) -> Credential:
        self.runs += 1
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return Credential(f"token-{self.runs}", None, self.now + self.life if self.life else None)

    def authenticator(self) -> ExecAuthenticator:
        tls = TlsContexts("here", None)
        return ExecAuthenticator(self, tls, now=lambda: self.now, monotonic=lambda: self.monotonic)


async def test_credentials_are_kept_until_shortly_before_they_expire() -> None:
    source = Counting(timedelta(minutes=10))
    authenticator = source.authenticator()
    for _ in range(3):
        assert await authenticator.headers() == {"Authorization": "Bearer token-1"}
    source.now += timedelta(minutes=9, seconds=49)
    await authenticator.headers()
    assert source.runs == 1
    source.now += timedelta(seconds=2)
    assert await authenticator.headers() == {"Authorization": "Bearer token-2"}


async def test_short_lived_credentials_are_used_for_most_of_their_life() -> None:
    source = Counting(timedelta(seconds=5))
    authenticator = source.authenticator()
    await authenticator.headers()
    source.now += timedelta(seconds=4.4)
    await authenticator.headers()
    assert source.runs == 1
    source.now += timedelta(seconds=0.2)
    await authenticator.headers()
    assert source.runs == 2


async def test_many_requests_share_one_run_and_one_failure() -> None:
    source = Counting()
    source.gate.clear()
    source.failure = CredentialsError("no")
    authenticator = source.authenticator()
    waiting = [asyncio.create_task(authenticator.headers()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one gives up; the others are not robbed
    await asyncio.sleep(0)
    source.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(r) for r in results] == [asyncio.CancelledError] + [CredentialsError] * 4
    assert source.runs == 1
    source.failure = None
    assert await authenticator.headers() == {"Authorization": "Bearer token-2"}


async def test_refusals_run_the_plugin_again_but_not_wild() -> None:
    source = Counting()
    authenticator = source.authenticator()
    await authenticator.headers()
    for _ in range(20):  # requests that were under way together
        assert await authenticator.refused()
        assert await authenticator.headers() == {"Authorization": "Bearer token-2"}
    source.monotonic += 10
    assert await authenticator.refused()
    assert await authenticator.headers() == {"Authorization": "Bearer token-3"}


# Over real HTTP


@asynccontextmanager
async def api_server(pki: Pki, handler: Callable[[web.Request], Any]) -> AsyncIterator[int]:
    """An HTTPS server on loopback, named ``kubernetes``, that asks for client certificates."""

    async def respond(request: web.Request) -> web.Response:
        answer = handler(request)
        status = {"kind": "Status", "code": 401, "reason": "Unauthorized", "message": "Unauthorized"}
        return web.json_response(answer) if answer else web.json_response(status, status=401)

    certificate, key = pki.issue("kubernetes")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.ca.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def peer(request: web.Request) -> str | None:
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert")
    return certificate["subject"][0][0][1] if certificate else None


def lab(port: int, pki: Pki) -> dict[str, Any]:
    return {
        "server": f"https://127.0.0.1:{port}",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": b64(pki.ca),
    }


async def test_plugin_token_that_the_server_refuses_is_renewed(write: Write, tmp_path: Path, pki: Pki) -> None:
    script(
        tmp_path / "plugin",
        """
        count = os.path.getsize(sys.argv[1]) if os.path.exists(sys.argv[1]) else 0
        open(sys.argv[1], "a").write("x")
        answer(token=f"token-{count}")
        """,
    )
    exec_config = {**EXEC, "command": "./plugin", "args": [str(tmp_path / "count")]}
    accepted = {"Bearer token-1"}

    def handler(request: web.Request) -> Any:
        return {"ok": True} if request.headers.get("Authorization") in accepted else None

    async with (
        api_server(pki, handler) as port,
        Transport(load(write({"exec": exec_config}, lab(port, pki)))) as transport,
    ):
        assert json.loads(await transport.request("GET", "/version")) == {"ok": True}
        accepted.clear()
        with pytest.raises(Unauthorized):
            await transport.request("GET", "/version")
        assert transport.clock.synchronised
    assert (tmp_path / "count").read_text() == "xx"


async def test_plugin_certificate_is_presented_and_replaced(write: Write, tmp_path: Path, pki: Pki) -> None:
    for name in ("first", "second"):
        certificate, key = pki.issue(name)
        pair = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
        (tmp_path / f"{name}.json").write_text(json.dumps(pair))
    (tmp_path / "now.json").symlink_to("first.json")
    script(tmp_path / "plugin", f"answer(**json.load(open({str(tmp_path / 'now.json')!r})))")
    accepted = {"first"}

    def handler(request: web.Request) -> Any:
        return {"user": peer(request)} if peer(request) in accepted else None

    async with api_server(pki, handler) as port:
        access = load(write({"exec": {**EXEC, "command": "./plugin"}}, lab(port, pki)))
        async with Transport(access) as transport:
            assert json.loads(await transport.request("GET", "/version")) == {"user": "first"}
            accepted.symmetric_difference_update({"first", "second"})
            (tmp_path / "now.json").unlink()
            (tmp_path / "now.json").symlink_to("second.json")
            assert json.loads(await transport.request("GET", "/version")) == {"user": "second"}


async def test_client_certificate_of_a_kubeconfig_is_presented(write: Write, pki: Pki) -> None:
    certificate, key = pki.issue("me")
    user = {"client-certificate-data": b64(certificate), "client-key-data": b64(key)}
    async with (
        api_server(pki, lambda request: {"user": peer(request)}) as port,
        Transport(load(write(user, lab(port, pki)))) as transport,
    ):
        assert json.loads(await transport.request("GET", "/version")) == {"user": "me"}
