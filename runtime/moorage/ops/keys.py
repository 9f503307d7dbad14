"""API keys. A key is read each time it is needed, because a mounted Secret changes in place. It is never shown."""

from __future__ import annotations

from pathlib import Path

from . import logs
from .configuration import SettingsError
from .secret import Secret

VARIABLE = "MOORAGE_API_KEY"
FILE_VARIABLE = "MOORAGE_API_KEY_FILE"


def check(key: Secret, source: str) -> Secret:
    """Return the key if it can be sent. All logs hide it from now on.

    Args:
        key: the key as it was read.
        source: its origin, for the message.

    Raises:
        SettingsError: the text is not a key; the message does not contain it.
    """
    value = key.reveal()
    if not value or not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{source}: it holds no key (printable ASCII on one line). Put the planner's key there")
    logs.hide(key)
    return key


def read(file: Path | None, key: Secret | None, otherwise: Secret | None = None) -> Secret | None:
    """The current key.

    Args:
        file: holds the key; overrides the others.
        key: the key of ``MOORAGE_API_KEY``.
        otherwise: the key of ``API_KEY``, used when neither of the others is set.

    Returns:
        The key; None when none is configured.

    Raises:
        SettingsError: the file cannot be read, or its content is not a key.
    """
    if file is None:
        source, secret = (VARIABLE, key) if key is not None else ("API_KEY", otherwise)
        return None if secret is None else check(secret, source)
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
