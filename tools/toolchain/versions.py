"""Versions in the output of programs. No I/O."""

from __future__ import annotations

import re

_VERSION = re.compile(r"(?<![\w.])(?:v|go)?(\d+\.\d+(?:\.\d+)?)([-+][0-9A-Za-z][0-9A-Za-z.+-]*)?")


def find(text: str) -> str:
    """Find the first version in a program's output.

    Args:
        text: for example `etcd Version: 3.7.3` or `go version go1.26.8 linux/amd64`.

    Returns:
        The version without `v` or `go` and build metadata (`+…`), but with a pre-release. Empty if there is none.
    """
    match = _VERSION.search(text)
    if not match:
        return ""
    suffix = (match[2] or "").split("+", 1)[0]
    return match[1] + suffix


def same(wanted: str, answer: str) -> bool:
    """Whether a program has exactly the wanted version.

    Args:
        wanted: for example `v1.36.3`.
        answer: what the program printed.

    Returns:
        True if the first version in the answer is the wanted one. `v1.36.3-gke.1` is another one.
    """
    return bool(wanted) and find(answer) == find(wanted)


def at_least(answer: str, minimum: tuple[int, int]) -> bool:
    """Whether a program is new enough.

    Args:
        answer: what the program printed.
        minimum: major and minor version.

    Returns:
        False also if the answer has no version.
    """
    numbers = [int(part) for part in re.findall(r"\d+", find(answer))[:2]]
    return len(numbers) == 2 and tuple(numbers) >= minimum
