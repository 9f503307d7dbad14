"""What a connection to a planner needs to show and to believe: read anew for each one, because files are rotated.

Closed in both directions: without the key no planner on another machine is asked, and an authority file that is named
and is not there is never replaced by the system's authorities. A key that was made for the closed product opens the
account there, so it leaves our namespace only when somebody says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from moorage.ops import keys
from moorage.ops.configuration import SettingsError
from moorage.ops.secret import Secret

from .endpoint import PlannerEndpoint

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


def read(endpoint: PlannerEndpoint) -> Credentials:
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
        problems.append(endpoint.advice)
    if key is not None and _is_closed(endpoint, key) and not _may_have_closed_key(endpoint):
        problems.insert(0, _stays_in(endpoint))
    if problems:
        raise Lacking(". ".join(problems).rstrip(". "))
    return Credentials(key, authorities)


def is_inside(host: str, namespace: str) -> bool:
    """Whether a host's name is one that the cluster's DNS has for a Service of a namespace.

    A namespace may stand behind a name in a resolver's search list, so short names count; addresses never do, because
    nobody can tell whose they are. The chart judges by the same rule (castai-pod-pinner.isOutside).
    """
    name = r"[a-z]([-a-z0-9]*[a-z0-9])?"
    service = rf"{name}([.]{re.escape(namespace)}([.]svc([.]cluster[.]local[.]?)?)?)?"
    return re.fullmatch(service, host.lower()) is not None


def _is_closed(endpoint: PlannerEndpoint, key: Secret) -> bool:
    """Whether a key that was read was made for the closed product."""
    return key is endpoint.other_key or (endpoint.key_file_is_closed and endpoint.key_file is not None)


def _may_have_closed_key(endpoint: PlannerEndpoint) -> bool:
    namespace, address = endpoint.closed_key_stays_in, endpoint.address
    return not namespace or address.is_loopback or is_inside(address.host, namespace)


def _stays_in(endpoint: PlannerEndpoint) -> str:
    return (
        f"the API key was made for the closed product, and {endpoint.address} is outside namespace "
        f"{endpoint.closed_key_stays_in}: it is not shown there. Give the planner a key of its own "
        "(MOORAGE_API_KEY_FILE; value planner.apiKeySecretRef.name), or allow it (MOORAGE_ALLOW_CLOSED_KEY; value "
        "planner.allowClosedKey)"
    )


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
