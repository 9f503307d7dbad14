"""A certificate and its key in files. They are read again when they change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from moorage.controller import certificates
from moorage.controller.certificates import AUTHORITY
from moorage.controller.pki import KeyPair

from . import metrics

logger = logging.getLogger(__name__)


def pair_reader(certificate: Path, key: Path) -> Callable[[], KeyPair]:
    """Returns a function for the current pair. If the files are unreadable or do not match, it returns the last pair.

    Raises:
        ValueError: the files cannot be used now; the text names the file.
    """
    last = _read(certificate, key)
    if not certificates.belong_together(last):
        raise ValueError(f"{key}: it is not the private key of {certificate}. Name files that belong together")
    complained = False
    _note(last)

    def read() -> KeyPair:
        nonlocal last, complained
        try:
            pair = _read(certificate, key)
            if pair != last and not certificates.belong_together(pair):
                raise ValueError(f"{key}: it is not the private key of {certificate}")
        except ValueError as error:
            if not complained:
                logger.warning("certificate cannot be used, using the last one", extra={"error": str(error)})
            complained = True
        else:
            if pair != last:
                _note(pair)
            last, complained = pair, False
        return last

    return read


def _note(pair: KeyPair) -> None:
    metrics.CERTIFICATE_ENDS.set(certificates.expiry(pair.certificate).timestamp())


def authority_beside(certificate: Path) -> bytes | None:
    """The authority's certificate, if it is in the same folder, as in Secrets of cert-manager."""
    try:
        return certificate.with_name(AUTHORITY).read_bytes() or None
    except OSError:
        return None


def _read(certificate: Path, key: Path) -> KeyPair:
    try:
        return KeyPair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise ValueError(f"{error.filename}: cannot be read: {error.strerror or error}") from error
