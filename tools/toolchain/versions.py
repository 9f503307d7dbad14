"""Versions in the words programs print. Pure."""

from __future__ import annotations

import re

_VERSION = re.compile(r"(?<![\w.])(?:v|go)?(\d+\.\d+(?:\.\d+)?)([-+][0-9A-Za-z][0-9A-Za-z.+-]*)?")


def find(text: str) -> str:
    """Find the first version in a program's answer.

    Args:
        text: for example `etcd Version: 3.7.3` or `go version go1.26.8 linux/amd64`.

    Returns:
        It without `v` or `go` and without build metadata (`+…`), pre-release kept; empty when there is none.
    """
    match = _VERSION.search(text)
    if not match:
        return ""
    suffix = (match[2] or "").split("+", 1)[0]
    return match[1] + suffix


def same(wanted: str, answer: str) -> bool:
    """Decide whether a program has exactly the version wanted.

    Args:
        wanted: for example `v1.36.3`.
        answer: what the program printed.

    Returns:
        True when the first version in the answer is the one wanted; `v1.36.3-gke.1` is another one.
    """
    return bool(wanted) and find(answer) == find(wanted)


def at_least(answer: str, minimum: tuple[int, int]) -> bool:
    """Decide whether a program is new enough.

    Args:
        answer: what the program printed.
        minimum: major and minor version.

    Returns:
        False also when the answer holds no version.
    """
    numbers = [int(part) for part in re.findall(r"\d+", find(answer))[:2]]
    return len(numbers) == 2 and tuple(numbers) >= minimum
