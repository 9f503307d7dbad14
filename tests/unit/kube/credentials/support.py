"""A small PKI, and other parts for the tests of credentials."""

from __future__ import annotations

import base64
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from moorage.controller.pki import CLIENT, SERVER, Authority, load_key
from moorage.kube.credentials import Access

SECRET = "s3cr3t-t0ken"
V1 = "client.authentication.k8s.io/v1"
HOUR = timedelta(hours=1)
EXEC = {"command": "p", "apiVersion": V1, "interactiveMode": "Never"}

Write = Callable[..., Path]
"""Writes a kubeconfig, see the fixture ``write``."""


@dataclass
class Pki:
    authority: Authority

    @property
    def ca(self) -> bytes:
        return self.authority.pair.certificate

    def issue(self, name: str, password: bytes | None = None) -> tuple[bytes, bytes]:
        now = datetime.now(UTC)
        pair = self.authority.issue(name, now, now + HOUR, purposes=[CLIENT, SERVER], names=[name])
        if password is None:
            return pair
        encryption = serialization.BestAvailableEncryption(password)
        form = serialization.PrivateFormat.PKCS8
        return pair.certificate, load_key(pair.key).private_bytes(serialization.Encoding.PEM, form, encryption)


def new_pki(name: str = "test-ca") -> Pki:
    now = datetime.now(UTC)
    return Pki(Authority.create(name, now, now + HOUR))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def authorization(access: Access) -> str | None:
    found = (await access.authenticator.headers()).get("Authorization")
    assert not isinstance(found, tuple)
    return found


def script(path: Path, body: str) -> Path:
    """A plugin in Python: ``answer(**status)`` prints an ExecCredential, and ``info`` is its input."""
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
