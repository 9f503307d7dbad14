"""The certificates of a cluster, as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from moorage.controller.pki import CLIENT, SERVER, Authority, KeyPair, key_pem

_LIFETIME = timedelta(days=365)


def write_private(path: Path, content: bytes) -> Path:
    """Writes a file that only its owner can read, also during the write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def write(pair: KeyPair, folder: Path, name: str) -> None:
    """Writes NAME.crt and NAME.key (0600)."""
    write_private(folder / f"{name}.key", pair.key)
    write_private(folder / f"{name}.crt", pair.certificate)


def create_authority(common_name: str) -> Authority:
    """Creates a CA that is valid as long as its cluster exists."""
    now = datetime.now(UTC)
    return Authority.create(common_name, now, now + _LIFETIME)


def load_authority(folder: Path, name: str) -> Authority:
    """Reads a CA that `write` has written."""
    return Authority.load(KeyPair((folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes()))


def issue(authority: Authority, user: str, groups: Sequence[str] = (), names: Sequence[str] = ()) -> KeyPair:
    """Issues a certificate for a client, and also for a server if there are `names` (DNS names or addresses)."""
    now = datetime.now(UTC)
    purposes = [CLIENT, SERVER] if names else [CLIENT]
    return authority.issue(user, now, now + _LIFETIME, purposes=purposes, names=names, organizations=groups)


def signing_pair() -> KeyPair:
    """A key for service-account tokens. Its public half takes the place of a certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(public, key_pem(key))
