"""Makes certificate authorities and certificates (X.509, P-256 keys). Pure.

The keys are elliptic-curve keys because an RSA key takes seconds to generate.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(hours=1)
"""How far before now the validity of a certificate starts, because clocks differ."""
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class KeyPair(NamedTuple):
    """A certificate and its private key, PEM-encoded."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Hides the key."""
        return "KeyPair(***)"


class Authority(NamedTuple):
    """A certificate authority.

    Attributes:
        certificate: the self-signed certificate.
        key: its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, common_name: str, now: datetime, until: datetime) -> Authority:
        """Create a self-signed authority that issues leaf certificates only.

        Args:
            common_name: of the subject.
            now: UTC.
            until: end of the validity, UTC.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(common_name, ())
        certificate = (
            _builder(subject, subject, key, now, until)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, pair: KeyPair) -> Authority:
        """Parse an authority from its PEM form.

        Raises:
            ValueError: a part cannot be read, or the key is not an unencrypted elliptic-curve key.
        """
        return cls(x509.load_pem_x509_certificate(pair.certificate), load_key(pair.key))

    @property
    def pair(self) -> KeyPair:
        """The PEM form."""
        return _pair(self.certificate, self.key)

    def issue(
        self,
        common_name: str,
        now: datetime,
        until: datetime,
        *,
        purposes: Sequence[x509.ObjectIdentifier],
        names: Sequence[str] = (),
        organizations: Sequence[str] = (),
    ) -> KeyPair:
        """Issue a certificate for a new key.

        Args:
            common_name: of the subject; the user name of a Kubernetes client.
            now: UTC.
            until: end of the validity, UTC; the authority's own end when that is earlier.
            purposes: ``CLIENT``, ``SERVER`` or both.
            names: DNS names and IP addresses that the certificate is valid for.
            organizations: of the subject; the groups of a Kubernetes client.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(until, self.certificate.not_valid_after_utc)
        builder = (
            _builder(_subject(common_name, organizations), self.certificate.subject, key, now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return _pair(builder.sign(self.key, hashes.SHA256()), key)


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Parse an unencrypted elliptic-curve key.

    Raises:
        ValueError: it is another kind of key, or it needs a password.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("the key is encrypted") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The PEM form of a key (PKCS #8, not encrypted), as Go's TLS code reads it."""
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    # A node name may have 253 characters. X.509 recommends 64 for a common name, but Go accepts more.
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
