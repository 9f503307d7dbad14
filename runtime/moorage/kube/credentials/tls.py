"""TLS settings for the connection to the API server, rebuilt when a certificate or CA changes."""

from __future__ import annotations

import logging
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .access import CredentialsError
from .files import Material, content

logger = logging.getLogger(__name__)

KeyPair = tuple[bytes, bytes]
"""Client certificate chain and private key, both PEM."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class TlsContexts:
    """Creates the SSL context for the current CA and client certificate.

    Args:
        source: file and context, for messages.
        ca: CA bundle (PEM), None for the system's.
        verify: False accepts any server certificate (``insecure-skip-tls-verify``).
    """

    def __init__(self, source: str, ca: Material | None, *, verify: bool = True) -> None:
        self._source = source
        self._ca = ca
        self._verify = verify
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[bytes | None, KeyPair | None] = (None, None)
        self._rejected: tuple[bytes | None, KeyPair | None] | None = None
        self._kept_for = ""

    def current(self, pair: KeyPair | None = None) -> ssl.SSLContext:
        """The context for a client certificate. The same object is returned until something changes.

        If a new CA or certificate is unusable, for example in the middle of a rotation, the previous one stays in use.

        Raises:
            CredentialsError: the first CA, certificate or key is unusable.
        """
        parts = (None if self._ca is None else content(self._ca), pair)
        if self._context is not None and parts in (self._made_of, self._rejected):
            return self._context
        try:
            self._context = self._build(*parts)
        except CredentialsError as error:
            if self._context is None:
                raise
            self._rejected = parts
            self._keep(str(error))
        except OSError as error:  # too many open files: the next request tries again
            reason = f"{self._source}: certificates cannot be loaded: {error.strerror or error}"
            if self._context is None:
                raise CredentialsError(f"{reason}. Raise the limit of open files") from None
            self._keep(reason)
        else:
            self._made_of, self._rejected, self._kept_for = parts, None, ""
        return self._context

    def _keep(self, reason: str) -> None:
        """Say once why the previous context stays in use."""
        if reason != self._kept_for:
            self._kept_for = reason
            logger.warning("new certificate unusable, keeping the previous one", extra={"error": reason})

    def _build(self, ca: bytes | None, pair: KeyPair | None) -> ssl.SSLContext:
        context = self._trusting(ca)
        # Python 3.13 sets this flag. Go does not, and CAs of existing clusters lack the key identifiers.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as in Go, an intermediate CA may be the trust anchor
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if pair is not None:
            self._identify(context, pair)
        return context

    def _trusting(self, ca: bytes | None) -> ssl.SSLContext:
        if ca is None:
            return ssl.create_default_context()
        certificates = b"\n".join(_CERTIFICATE.findall(ca))
        try:
            if not certificates:
                raise ValueError
            return ssl.create_default_context(cadata=certificates.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise CredentialsError(
                f"{self._source}: certificate-authority: no usable certificate in it. "
                "Give the PEM certificates of the CA that signed the API server's certificate"
            ) from None

    def _identify(self, context: ssl.SSLContext, pair: KeyPair) -> None:
        def no_password() -> str:
            raise CredentialsError(
                f"{self._source}: client-key: the key is encrypted. Give a key without a pass phrase"
            )

        try:
            with _as_file(pair[0].rstrip() + b"\n" + pair[1]) as path:
                context.load_cert_chain(path, password=no_password)
        except (ssl.SSLError, ValueError):
            raise CredentialsError(
                f"{self._source}: client-certificate and client-key are not a PEM certificate and its key. "
                "Check that both are complete and belong together"
            ) from None


@contextmanager
def _as_file(secret: bytes) -> Iterator[str]:
    """A path from which OpenSSL can read bytes (it loads keys from files only).

    In memory where the system allows that.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, secret)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600, removed when closed
            file.write(secret)
            file.flush()
            yield file.name
