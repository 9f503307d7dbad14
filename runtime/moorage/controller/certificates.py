"""Our own certificate authority and the certificates it issues, as the data of a Secret. Pure.

The authority is valid for years, because its clients keep a copy of it. A certificate is valid for a short time and is
renewed after two thirds of it. Clients that trust the authority trust the new certificate too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from .pki import SERVER, Authority, KeyPair, load_key

AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=90)

AUTHORITY, AUTHORITY_KEY = "ca.crt", "ca.key"
CERTIFICATE, CERTIFICATE_KEY = "tls.crt", "tls.key"
KEYS = (AUTHORITY, AUTHORITY_KEY, CERTIFICATE, CERTIFICATE_KEY)

_KEEPER = "Its type kubernetes.io/tls says that another program maintains it, cert-manager for example: look there"


class Unusable(Exception):
    """The data of a Secret cannot be used and is not ours to replace.

    The text gives the reason without quoting the data.
    """


class State(enum.Enum):
    """What a Secret's data needs."""

    EMPTY = "empty"
    """There is no data: create an authority and a certificate."""
    DUE = "due"
    """There is an authority, and no certificate that is valid for long: issue one."""
    GOOD = "good"


def judge(data: Mapping[str, bytes], names: Sequence[str], now: datetime) -> State:
    """Determine what a Secret's data needs.

    Args:
        data: the data of the Secret.
        names: DNS names and IP addresses that the certificate must have.
        now: UTC.

    Raises:
        Unusable: there is data, and no certificate can be issued from it.
    """
    if not any(data.get(key) for key in KEYS):
        return State.EMPTY
    authority = _authority(data, now)
    try:
        certificate = x509.load_pem_x509_certificate(data.get(CERTIFICATE, b""))
        key = load_key(data.get(CERTIFICATE_KEY, b""))
    except ValueError:
        return State.DUE
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    good = (
        certificate.public_key() == key.public_key()
        and _issued_by(certificate, authority)
        and now < certificate.not_valid_after_utc - lasts / 3
        and set(names) <= _names(certificate)
    )
    return State.GOOD if good else State.DUE


def accept(data: Mapping[str, bytes], names: Sequence[str], now: datetime) -> tuple[KeyPair, bytes]:
    """Check a certificate that another program maintains, such as cert-manager; returns it and its authority's.

    Args:
        data: the data of the Secret. It has no key of the authority.
        names: DNS names and IP addresses that the certificate must have.
        now: UTC.

    Raises:
        Unusable: the certificate cannot be served.
    """
    pair, authority = KeyPair(data.get(CERTIFICATE, b""), data.get(CERTIFICATE_KEY, b"")), data.get(AUTHORITY, b"")
    if not belong_together(pair):
        raise Unusable(f"{CERTIFICATE} and {CERTIFICATE_KEY} are missing or do not belong together. {_KEEPER}")
    try:
        x509.load_pem_x509_certificate(authority)
    except ValueError:
        raise Unusable(f"{AUTHORITY} is not a certificate: use an issuer that provides it") from None
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    if now >= certificate.not_valid_after_utc:
        raise Unusable(f"its certificate expired at {certificate.not_valid_after_utc.isoformat()}. {_KEEPER}")
    have = _names(certificate)
    lacking = [name for name in names if not {name, f"*.{name.partition('.')[2]}"} & have]
    if lacking:
        raise Unusable(f"its certificate is not valid for {', '.join(lacking)}. {_KEEPER}")
    return pair, authority


def fill(now: datetime, names: Sequence[str], program: str) -> dict[str, bytes]:
    """Create an authority and its first certificate: all keys of the Secret.

    Args:
        now: UTC.
        names: DNS names and IP addresses of the certificate.
        program: the program that serves with the certificate; it becomes the common name.
    """
    certificate, key = Authority.create(f"{program} authority", now, now + AUTHORITY_LIFETIME).pair
    data = {AUTHORITY: certificate, AUTHORITY_KEY: key}
    return data | issue(data, now, names, program)


def issue(data: Mapping[str, bytes], now: datetime, names: Sequence[str], program: str) -> dict[str, bytes]:
    """Issue a new certificate with the authority in a Secret's data: the keys of the Secret that change.

    Args:
        data: the data of the Secret.
        now: UTC.
        names: DNS names and IP addresses of the certificate.
        program: the program that serves with the certificate; it becomes the common name.

    Raises:
        Unusable: the data has no usable authority.
    """
    authority = _authority(data, now)
    pair = authority.issue(program, now, now + CERTIFICATE_LIFETIME, purposes=[SERVER], names=names)
    return {CERTIFICATE: pair.certificate, CERTIFICATE_KEY: pair.key}


def expiry(certificate: bytes) -> datetime:
    """The end of validity of the first certificate in a PEM chain, UTC.

    Raises:
        ValueError: the text is not a certificate.
    """
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def belong_together(pair: KeyPair) -> bool:
    """Whether a private key belongs to the first certificate of a chain."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError):  # TypeError: the key is encrypted
        return False
    return certificate.public_key() == key.public_key()


def _authority(data: Mapping[str, bytes], now: datetime) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate(data.get(AUTHORITY, b""))
        key = load_key(data.get(AUTHORITY_KEY, b""))
    except ValueError:
        raise Unusable(
            f"it has data, but no authority of ours ({AUTHORITY} and {AUTHORITY_KEY}). Empty it to have it "
            "filled again, or name it as tls.existingSecret if it holds your own certificate"
        ) from None
    if certificate.public_key() != key.public_key():
        raise Unusable(f"{AUTHORITY} and {AUTHORITY_KEY} do not belong together. Empty it to have it filled again")
    if now >= certificate.not_valid_after_utc:
        raise Unusable("its authority has expired. Empty it to have it filled again")
    return Authority(certificate, key)


def _issued_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = names.get_values_for_type(x509.IPAddress)
    return {*names.get_values_for_type(x509.DNSName), *map(str, addresses)}
