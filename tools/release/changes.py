"""The newest section of the changelog, as Artifact Hub shows it.

Source: https://artifacthub.io/docs/topics/annotations/helm/ (artifacthub.io/changes).
"""

from __future__ import annotations

import re
from pathlib import Path

from tools.release.versions import ROOT

_KINDS = {
    "Added": "added",
    "Changed": "changed",
    "Deprecated": "deprecated",
    "Removed": "removed",
    "Fixed": "fixed",
    "Security": "security",
}
_SENTENCE = re.compile(r"(.+?\.)(?=\s+[A-Z]|$)")


def changes(root: Path = ROOT) -> list[dict[str, str]]:
    """The entries of the newest section, each with its kind and its first sentence as plain text."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    found: list[dict[str, str]] = []
    for part in re.split(r"^### ", section, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        kind = _KINDS.get(title.strip(), "changed")
        plain = re.sub(r"^#{4,} .*$", "", body, flags=re.MULTILINE)  # headings of groups
        entries = re.split(r"^- ", plain, flags=re.MULTILINE)[1:]
        found += [{"kind": kind, "description": _plain(each)} for each in entries]
    return found


def _plain(entry: str) -> str:
    words = " ".join(entry.split())
    words = re.sub(r"\s*\(\[[^\]]+\]\([^)]*\)\)", "", words)  # ([guide](…))
    words = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", words).replace("`", "")
    first = _SENTENCE.match(words)
    return first.group(1) if first else words
