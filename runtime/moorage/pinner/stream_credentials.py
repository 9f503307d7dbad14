"""What a connection to a planner needs to show and to believe: read anew for each one, because files are rotated.

Closed in both directions: without the key no planner on another machine is asked, and an authority file that is named
and is not there is never replaced by the system's authorities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from moorage.ops import keys
from moorage.ops.configuration import SettingsError
from moorage.ops.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from .stream_channel import Endpoint

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class Lacking(Exception):
    """No connection can be made yet; the text says what is missing, and where it comes from."""


class Credentials(NamedTuple):
    """What one connection shows and believes.

    Attributes:
        key: the API key, or None to show none.
        authorities: whom the planner's certificate may come from, in PEM form; None means the system's.
    """

    key: Secret | None = None
    authorities: bytes | None = None


def read(endpoint: Endpoint) -> Credentials:
    """Read them as they are at this moment.

    Raises:
        Lacking: something is not there, or cannot be used.
    """
    problems: list[str] = []
    key, authorities = None, None
    try:
        key = keys.read(endpoint.key_file, endpoint.key, endpoint.other_key)
    except SettingsError as error:
        problems.append(str(error))
    else:
        if key is None and not endpoint.address.is_loopback:
            problems.append(f"no API key is set, and {endpoint.address} is not asked without one")
    if endpoint.ca_file is not None:
        try:
            authorities = _authorities(endpoint.ca_file)
        except ValueError as error:
            problems.append(f"MOORAGE_PLANNER_CA_FILE (--planner-ca-file): '{endpoint.ca_file}': {error}")
    if problems:
        raise Lacking(". ".join([*problems, endpoint.advice]).rstrip(". "))
    return Credentials(key, authorities)


def _authorities(file: Path) -> bytes:
    try:
        found = file.read_bytes()
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error
    if _BEGIN not in found:
        raise ValueError("it holds no certificate in PEM form")
    return found
