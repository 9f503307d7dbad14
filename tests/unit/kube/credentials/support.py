"""A small PKI, and what every test of credentials needs."""

from __future__ import annotations

import base64
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from moorage.kube.credentials import Access

SECRET = "s3cr3t-t0ken"
V1 = "client.authentication.k8s.io/v1"
EXEC = {"command": "p", "apiVersion": V1, "interactiveMode": "Never"}

Write = Callable[..., Path]
"""Writes a kubeconfig, see the fixture ``write``."""


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


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def authorization(access: Access) -> str | None:
    return (await access.authenticator.headers()).get("Authorization")


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
