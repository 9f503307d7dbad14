"""Certificates, keys and tokens in files that other programs replace."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.kube.credentials import CredentialsError, load
from moorage.kube.credentials.files import WatchedFile
from moorage.kube.credentials.tls import TlsContexts
from tests.unit.kube.credentials.support import Pki, Write, authorization, b64, new_pki


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


def test_too_many_open_files_are_no_fault_of_a_certificate_and_are_tried_again(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_name: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    old, new = pki.issue("me"), pki.issue("me")
    contexts = TlsContexts("here", None)
    with monkeypatch.context() as few:
        few.setattr(os, "memfd_create", refuse)
        with pytest.raises(
            CredentialsError, match=r"^here: certificates cannot be loaded: Too many open files\. Raise"
        ):
            contexts.current(old)
    first = contexts.current(old)
    with monkeypatch.context() as few:
        few.setattr(os, "memfd_create", refuse)
        assert [contexts.current(new), contexts.current(new)] == [first, first]
    assert caplog.messages.count("new certificate unusable, keeping the previous one") == 1
    assert contexts.current(new) is not first


# --- files that change ---


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
