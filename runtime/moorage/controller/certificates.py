"""An authority of our own and the certificates it issues, as they stand in a Secret. Pure.

The authority lasts for years, because its clients keep a copy of it; the certificate is renewed after two thirds of
its short life, and nobody notices: whoever believes the authority believes the next one too.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=90)
EARLIER = timedelta(hours=1)
"""How far before now validity begins: clocks differ."""

AUTHORITY, AUTHORITY_KEY = "ca.crt", "ca.key"
CERTIFICATE, CERTIFICATE_KEY = "tls.crt", "tls.key"
KEYS = (AUTHORITY, AUTHORITY_KEY, CERTIFICATE, CERTIFICATE_KEY)

_KEEPER = "Its type kubernetes.io/tls says that somebody else keeps it, cert-manager for example: look there"

_Signer = ec.EllipticCurvePrivateKey


class Unusable(Exception):
    """A Secret holds what is not ours to replace and cannot be used; the text says what, and never repeats it."""


class State(enum.Enum):
    """What there is."""

    EMPTY = "empty"
    """Nothing: an authority and a certificate are to be made."""
    DUE = "due"
    """An authority, and no certificate that will do for long: one is to be issued."""
    GOOD = "good"


class Pair(NamedTuple):
    """A certificate and its private key, in PEM form."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "Pair(***)"


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: _Signer


def judge(data: Mapping[str, bytes], names: Sequence[str], now: datetime) -> State:
    """What is to be done about a Secret's data.

    Args:
        data: of the Secret.
        names: DNS names and IP addresses that the certificate is to have.
        now: UTC.

    Raises:
        Unusable: it holds something, and nothing can be issued from it.
    """
    if not any(data.get(key) for key in KEYS):
        return State.EMPTY
    authority = _authority(data, now)
    try:
        certificate = x509.load_pem_x509_certificate(data.get(CERTIFICATE, b""))
        key = _key(data.get(CERTIFICATE_KEY, b""))
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


def accept(data: Mapping[str, bytes], names: Sequence[str], now: datetime) -> tuple[Pair, bytes]:
    """A certificate that somebody else makes and renews, as it is, and its authority's: cert-manager's, say.

    Args:
        data: of the Secret, which has no key of the authority.
        names: DNS names and IP addresses that the certificate must have.
        now: UTC.

    Raises:
        Unusable: it cannot be shown.
    """
    pair, authority = Pair(data.get(CERTIFICATE, b""), data.get(CERTIFICATE_KEY, b"")), data.get(AUTHORITY, b"")
    if not belong_together(pair):
        raise Unusable(f"{CERTIFICATE} and {CERTIFICATE_KEY} are missing or do not belong together. {_KEEPER}")
    try:
        x509.load_pem_x509_certificate(authority)
    except ValueError:
        raise Unusable(f"{AUTHORITY} is no certificate: take an issuer that tells its authority") from None
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    if now >= certificate.not_valid_after_utc:
        raise Unusable(f"its certificate expired at {certificate.not_valid_after_utc.isoformat()}. {_KEEPER}")
    have = _names(certificate)
    lacking = [name for name in names if not {name, f"*.{name.partition('.')[2]}"} & have]
    if lacking:
        raise Unusable(f"its certificate is not valid for {', '.join(lacking)}. {_KEEPER}")
    return pair, authority


def fill(now: datetime, names: Sequence[str], program: str) -> dict[str, bytes]:
    """A new authority with its first certificate: all keys of the Secret.

    Args:
        now: UTC.
        names: DNS names and IP addresses that the certificate is to have.
        program: what shows the certificate, for people who read it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{program} authority")])
    certificate = (
        _builder(subject, subject, key, now, now + AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    data = {AUTHORITY: _pem(certificate), AUTHORITY_KEY: _key_pem(key)}
    return data | issue(data, now, names, program)


def issue(data: Mapping[str, bytes], now: datetime, names: Sequence[str], program: str) -> dict[str, bytes]:
    """A new certificate of the authority in a Secret's data: the keys that change.

    Args:
        data: of the Secret.
        now: UTC.
        names: DNS names and IP addresses that it is to have.
        program: what shows it, for people who read it.

    Raises:
        Unusable: there is no such authority.
    """
    authority = _authority(data, now)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, program)])
    until = min(now + CERTIFICATE_LASTS, authority.certificate.not_valid_after_utc)
    issuer = authority.key.public_key()
    certificate = (
        _builder(subject, authority.certificate.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return {CERTIFICATE: _pem(certificate), CERTIFICATE_KEY: _key_pem(key)}


def expiry(certificate: bytes) -> datetime:
    """When the first certificate of a PEM chain ends, UTC.

    Raises:
        ValueError: it is no certificate.
    """
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def belong_together(pair: Pair) -> bool:
    """Whether a private key is that of the first certificate of a chain."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError):  # TypeError: the key wants a password
        return False
    return certificate.public_key() == key.public_key()


# --- pieces ---


def _authority(data: Mapping[str, bytes], now: datetime) -> _Authority:
    try:
        certificate = x509.load_pem_x509_certificate(data.get(AUTHORITY, b""))
        key = _key(data.get(AUTHORITY_KEY, b""))
    except ValueError:
        raise Unusable(
            f"it holds something, but no authority of ours ({AUTHORITY} and {AUTHORITY_KEY}). Empty it to have it "
            "filled anew, or name it as tls.existingSecret if it is a certificate of yours"
        ) from None
    if certificate.public_key() != key.public_key():
        raise Unusable(f"{AUTHORITY} and {AUTHORITY_KEY} do not belong together. Empty it to have it filled anew")
    if now >= certificate.not_valid_after_utc:
        raise Unusable("its authority has expired. Empty it to have it filled anew")
    return _Authority(certificate, key)


def _key(pem: bytes) -> _Signer:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("the key wants a password") from error
    if not isinstance(key, _Signer):
        raise ValueError("not a key of ours")
    return key


def _issued_by(certificate: x509.Certificate, authority: _Authority) -> bool:
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


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: _Signer, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - EARLIER)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: _Signer) -> bytes:
    form, alone = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, alone)
