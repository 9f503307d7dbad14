"""Signatures with a key of the releaser's, which openssl and cosign verify. Without a key nothing is signed.

Keys are ECDSA on P-256, as `cosign generate-key-pair` and `openssl ecparam` make them. The provenance is signed as an
envelope (https://github.com/secure-systems-lab/dsse, protocol.md), the list of checksums as it is.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tools.release.errors import ReleaseError

PASSWORD_VARIABLE = "MOORAGE_RELEASE_KEY_PASSWORD"  # noqa: S105 - the variable's name
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MAKE = "make one: openssl ecparam -name prime256v1 -genkey -noout -out release.key"
_HASH = ec.ECDSA(hashes.SHA256())


def private_key(path: Path, password: str | None) -> ec.EllipticCurvePrivateKey:
    """Read a key.

    Args:
        path: PEM.
        password: if the key has one.

    Raises:
        ReleaseError: it cannot be read, or is of another kind.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password.encode() if password else None)
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseError(f"the key {path} cannot be read: {error}; {PASSWORD_VARIABLE} holds its password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ReleaseError(f"the key {path} is not ECDSA on P-256; {_MAKE}")
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Read a public key.

    Raises:
        ReleaseError: it cannot be read, or is of another kind.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"the public key {path} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ReleaseError(f"the public key {path} is not ECDSA on P-256")
    return key


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """The public part, PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signature(key: ec.EllipticCurvePrivateKey, content: bytes) -> str:
    """Sign bytes: base64 of the ASN.1 signature over their SHA-256, as `cosign sign-blob` writes it."""
    return base64.b64encode(key.sign(content, _HASH)).decode()


def envelope(key: ec.EllipticCurvePrivateKey, payload: bytes) -> str:
    """The payload in a signed envelope, JSON in one line."""
    sealed = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": signature(key, _encoded(payload))}],
    }
    return json.dumps(sealed) + "\n"


def verify(key: ec.EllipticCurvePublicKey, content: bytes, signed: str, name: str) -> None:
    """Check a signature.

    Raises:
        ReleaseError: it is not the key's, or not for these bytes.
    """
    try:
        key.verify(base64.b64decode(signed, validate=False), content, _HASH)
    except (InvalidSignature, ValueError) as error:
        raise ReleaseError(f"{name} is not signed by this key, or was changed afterwards; do not use it") from error


def opened(key: ec.EllipticCurvePublicKey, sealed: str, name: str) -> bytes:
    """The payload of an envelope whose signature fits.

    Raises:
        ReleaseError: it is no envelope, not the key's, or was changed.
    """
    try:
        found = json.loads(sealed)
        payload = base64.b64decode(found["payload"])
        (signed,) = (each["sig"] for each in found["signatures"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{name} is no signed envelope: {error}") from error
    if found.get("payloadType") != PAYLOAD_TYPE:
        raise ReleaseError(f"{name} holds {found.get('payloadType')}, not {PAYLOAD_TYPE}")
    verify(key, _encoded(payload), signed, name)
    return payload


def _encoded(payload: bytes) -> bytes:
    """What an envelope's signature covers (protocol.md, PAE)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
