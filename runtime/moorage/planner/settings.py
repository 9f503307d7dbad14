"""The settings of ``moorage planner``."""

# ruff: noqa: RUF009 - setting() makes dataclass fields

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.ops import parsing
from moorage.ops.configuration import SettingsError, setting
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret
from moorage.ops.settings import ClusterSettings, LogSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlannerSettings(ClusterSettings, LogSettings):
    """Settings of ``moorage planner``."""

    plan: Path = setting("MOORAGE_PLAN", "The plan file; it is read again whenever it changes", parsing.readable_file)
    listen: Address = setting(
        "MOORAGE_LISTEN",
        "Where pinners connect, as host:port; an empty host means all addresses",
        parsing.listen_address,
        Address("127.0.0.1", 9443),
    )
    tls_cert_file: Path | None = setting(
        "MOORAGE_TLS_CERT_FILE", "The planner's certificate chain in PEM form", parsing.pem_file, None
    )
    tls_key_file: Path | None = setting(
        "MOORAGE_TLS_KEY_FILE", "The private key of the certificate in PEM form", parsing.readable_file, None
    )
    api_key: Secret | None = setting(
        "MOORAGE_API_KEY", "The key that pinners must show, when it is not in a file", Secret, None
    )
    api_key_file: Path | None = setting(
        "MOORAGE_API_KEY_FILE", "A file with the key that pinners must show", parsing.readable_file, None
    )
    once: bool = setting("MOORAGE_ONCE", "End when every instruction is finally acknowledged", parsing.boolean, False)
    output: str = setting(
        "MOORAGE_OUTPUT",
        "How answers are shown: a table on a terminal, or a line of JSON each",
        parsing.one_of("auto", "table", "json"),
        "auto",
    )

    def __post_init__(self) -> None:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise SettingsError(
                "MOORAGE_TLS_CERT_FILE (--tls-cert-file) and MOORAGE_TLS_KEY_FILE (--tls-key-file) belong together. "
                "Set both, or neither for plaintext on loopback"
            )
        if self.api_key is not None and self.api_key_file is not None:
            raise SettingsError("MOORAGE_API_KEY and MOORAGE_API_KEY_FILE (--api-key-file) are both set. Remove one")
        if not self.listen.is_loopback:
            self._check_exposed()
        self.read_api_key()

    def _check_exposed(self) -> None:
        if self.tls_cert_file is None:
            raise SettingsError(
                f"MOORAGE_LISTEN (--listen): {self.listen} can be reached from other machines, and there is no "
                "certificate. Set MOORAGE_TLS_CERT_FILE (--tls-cert-file) and MOORAGE_TLS_KEY_FILE (--tls-key-file), "
                "or listen on 127.0.0.1"
            )
        if self.api_key is None and self.api_key_file is None:
            raise SettingsError(
                f"MOORAGE_LISTEN (--listen): {self.listen} can be reached from other machines, and anybody could ask "
                "for the plan. Set MOORAGE_API_KEY_FILE (--api-key-file) or MOORAGE_API_KEY, or listen on 127.0.0.1"
            )

    def read_api_key(self) -> Secret | None:
        """The key as it is now; None when none is configured.

        Raises:
            SettingsError: the file cannot be read, or holds no key.
        """
        key, source = self.api_key, "MOORAGE_API_KEY"
        if self.api_key_file is not None:
            source = f"MOORAGE_API_KEY_FILE (--api-key-file): '{self.api_key_file}'"
            try:
                key = Secret(self.api_key_file.read_text(encoding="ascii"))
            except OSError as error:
                raise SettingsError(f"{source}: it cannot be read: {error.strerror or error}") from error
            except UnicodeDecodeError:
                raise SettingsError(f"{source}: a key is printable ASCII, and this file is not") from None
        if key is None:
            return None
        if not key or not (key.reveal().isascii() and key.reveal().isprintable()):
            raise SettingsError(f"{source}: it holds no key (printable ASCII on one line). Put one there")
        return key

    def key_reader(self) -> Callable[[], Secret | None]:
        """Gives the key as it is now; while its file cannot be read, the last one: nobody is ever let in without."""
        last = self.read_api_key()

        def read() -> Secret | None:
            nonlocal last
            try:
                last = self.read_api_key()
            except SettingsError as error:
                logger.warning("API key cannot be read, going on with the last", extra={"error": str(error)})
            return last

        return read
