"""API keys: read anew whenever one is needed, because a mounted Secret changes in place, and never shown."""

from __future__ import annotations

from pathlib import Path

from . import logs
from .configuration import SettingsError
from .secret import Secret

VARIABLE = "MOORAGE_API_KEY"
FILE_VARIABLE = "MOORAGE_API_KEY_FILE"


def check(key: Secret, source: str) -> Secret:
    """The key, if it can be sent; it is kept out of all logs from now on.

    Args:
        key: as it was found.
        source: where, for the message.

    Raises:
        SettingsError: it is no key; the message does not repeat it.
    """
    value = key.reveal()
    if not value or not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{source}: it holds no key (printable ASCII on one line). Put the planner's key there")
    logs.hide(key)
    return key


def read(file: Path | None, key: Secret | None, otherwise: Secret | None = None) -> Secret | None:
    """The key as it is at this moment.

    Args:
        file: holds the key; wins when there is such a file.
        key: the key itself, of ``MOORAGE_API_KEY``.
        otherwise: the key that counts when neither gives one, of ``API_KEY``.

    Returns:
        The key, or None when none is configured.

    Raises:
        SettingsError: the file cannot be read, or what was found is no key.
    """
    if file is None:
        source, found = (VARIABLE, key) if key is not None else ("API_KEY", otherwise)
        return None if found is None else check(found, source)
    source = f"{FILE_VARIABLE} (--api-key-file): '{file}'"
    try:
        text = file.read_text(encoding="ascii")
    except FileNotFoundError as error:
        if otherwise is not None:
            return check(otherwise, "API_KEY")
        raise SettingsError(f"{source}: there is no such file") from error
    except OSError as error:
        raise SettingsError(f"{source}: it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{source}: a key is printable ASCII, and this file is not") from None
    return check(Secret(text), source)
