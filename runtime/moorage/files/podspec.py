"""The value podSpec of all charts: what it may not say, because rights, safety or the program hang on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .mistakes import Mistake, Path
from .yamlfile import Document

KEY = "podSpec"
_ACCOUNT = "the chart's rights are for the account of its own value"
RESERVED = {
    "serviceAccountName": _ACCOUNT,
    "serviceAccount": _ACCOUNT,
    "automountServiceAccountToken": _ACCOUNT,
    "terminationGracePeriodSeconds": "use the value of that name: the program is told how long it has",
    "affinity": "use the value affinity: the chart adds to it that pods keep off placeholders and nodes being emptied",
}
"""Fields of the pod, and why they are not taken."""
RESERVED_OF_THE_PROGRAM = {
    "args": "it says which program runs",
    "command": "it says which program runs",
    "image": "use the value image",
    "env": "use the value extraEnv or additionalEnv",
}
"""The same of the program's container."""


def mistakes(chart: str, document: Document) -> Iterator[Mistake]:
    """What the chart's templates refuse in a podSpec that satisfies its schema.

    Args:
        chart: its name is the container's.
        document: the values, a map.
    """
    spec = document.value.get(KEY)
    if not isinstance(spec, Mapping):
        return
    yield from _refused(document, (KEY,), spec, RESERVED)
    for index, container in enumerate(spec.get("containers") or ()):
        if container["name"] == chart:
            yield from _refused(document, (KEY, "containers", index), container, RESERVED_OF_THE_PROGRAM)


def _refused(
    document: Document, path: Path, found: Mapping[str, object], reserved: Mapping[str, str]
) -> Iterator[Mistake]:
    for key, why in reserved.items():
        if key in found:
            yield document.mistake((*path, key), f"{key}: is not taken: {why}")
