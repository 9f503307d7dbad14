"""The places that hold the version, and the one command that sets it in all of them.

Terraform modules have no version of their own: it is the tag of the repository, and the version in the archive's name.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "runtime/pyproject.toml"
"""The place that counts if others differ; the image reads it, too."""

VERSION = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?"
_VALID = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(alpha|beta|rc)\.(0|[1-9]\d*))?\Z")
"""What Python (PEP 440), Helm (SemVer) and registries all take."""
_PROJECT = rf'^version = "({VERSION})"$'
_CHART = (
    rf"^version: ({VERSION})$",
    rf"^appVersion: ({VERSION})$",
    rf"^ +image: \S+:({VERSION})$",  # what Artifact Hub shows
    rf"^    version: ({VERSION})$",  # the parts of the umbrella
)
_PLACES: Mapping[str, tuple[str, ...]] = {
    SOURCE: (_PROJECT,),
    "pulumi/pyproject.toml": (_PROJECT,),
    "runtime/Dockerfile": (rf"^ARG VERSION=({VERSION})$", rf"moorage/moorage:({VERSION}) "),
    "charts/*/Chart.yaml": _CHART,
}
_SHOWN = ("docs/guides/*.md", "tests/**/*.py")
"""Pages and tests that show the current version: it is replaced there, and not checked."""

_CHANGES = "CHANGELOG.md"
_HEADING = re.compile(rf"^## ({VERSION}) \((unreleased|\d{{4}}-\d{{2}}-\d{{2}})\)$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A version in a file.

    Attributes:
        path: from the root.
        line: the first is 1.
        version: what stands there.
    """

    path: str
    line: int
    version: str


@dataclass(frozen=True)
class Heading:
    """The newest section of the changelog.

    Attributes:
        version: of the section.
        date: YYYY-MM-DD, or None before the release.
    """

    version: str
    date: str | None


def current(root: Path = ROOT) -> str:
    """The version of the checkout.

    Raises:
        ReleaseError: places differ, or one has no version.
    """
    found = list(places(root))
    wanted = next(each.version for each in found if each.path == SOURCE)
    wrong = [f"{each.path}:{each.line} says {each.version}" for each in found if each.version != wanted]
    if (heading := newest(root)).version != _released(wanted):
        wrong.append(f"the newest section of {_CHANGES} is {heading.version}")
    if wrong:
        raise ReleaseError(
            f"{SOURCE} says {wanted}, but {'; '.join(wrong)}. Set one version: ./taskw release:version -- {wanted}"
        )
    return wanted


def places(root: Path = ROOT) -> Iterator[Place]:
    """Every place that must hold the version.

    Raises:
        ReleaseError: a file has no version where one belongs.
    """
    for pattern, expressions in _PLACES.items():
        paths = sorted(root.glob(pattern))
        if not paths:
            raise ReleaseError(f"{pattern} does not exist in {root}; restore it with git checkout")
        for path in paths:
            text, name = path.read_text("utf-8"), path.relative_to(root).as_posix()
            found = [
                Place(name, text.count("\n", 0, match.start(1)) + 1, match.group(1))
                for expression in expressions
                for match in re.finditer(expression, text, re.MULTILINE)
            ]
            if not found:
                raise ReleaseError(f"{name} has no version; restore it with git checkout {name}")
            yield from found


def newest(root: Path = ROOT) -> Heading:
    """The newest section of the changelog.

    Raises:
        ReleaseError: there is no heading of that form.
    """
    match = _HEADING.search((root / _CHANGES).read_text("utf-8"))
    if match is None:
        raise ReleaseError(f"{_CHANGES} has no heading like `## 2.1.0 (unreleased)` or `## 2.1.0 (2026-12-01)`; add it")
    return Heading(match.group(1), None if match.group(2) == "unreleased" else match.group(2))


def write(version: str, date: str | None = None, root: Path = ROOT) -> list[str]:
    """Set the version in every place.

    Args:
        version: like 2.1.0 or 2.1.0-rc.1, without a leading v.
        date: of the release, YYYY-MM-DD; the changelog's section is dated with it.
        root: of the checkout.

    Returns:
        The changed files. Writing the same again changes nothing.

    Raises:
        ReleaseError: the version or the date is not one, or the changelog's section was released before.
    """
    if not _VALID.match(version):
        raise ReleaseError(f"{version!r} is no version; write it like 2.1.0 or 2.1.0-rc.1, without a v")
    before = next(each.version for each in places(root) if each.path == SOURCE)
    changes = _changelog(version, date, root)
    texts = {path: text for path, text in _replaced(before, version, root).items() if text != path.read_text("utf-8")}
    if changes != (root / _CHANGES).read_text("utf-8"):
        texts[root / _CHANGES] = changes
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return sorted(path.relative_to(root).as_posix() for path in texts)


def _replaced(before: str, version: str, root: Path) -> dict[Path, str]:
    texts = {}
    for pattern, expressions in _PLACES.items():
        for path in root.glob(pattern):
            text = path.read_text("utf-8")
            for expression in expressions:
                text = re.sub(expression, lambda match: _with(match, version), text, flags=re.MULTILINE)
            texts[path] = text
    shown = re.compile(rf"(?<![\w.]){re.escape(before)}(?![\w]|\.\d|-rc)")
    for pattern in _SHOWN:
        for path in root.glob(pattern):
            texts[path] = shown.sub(version, path.read_text("utf-8"))
    return texts


def _with(match: re.Match[str], version: str) -> str:
    begin, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match.group()[:begin] + version + match.group()[end:]


def _changelog(version: str, date: str | None, root: Path) -> str:
    """The changelog with a section for the version; a version before the final one shares its section."""
    text, heading, wanted = (root / _CHANGES).read_text("utf-8"), newest(root), _released(version)
    if date is not None:
        _check_date(date)
    if heading.version == wanted:
        if date is None or date == heading.date:
            return text
        if heading.date is not None:
            raise ReleaseError(f"{_CHANGES} says that {wanted} was released on {heading.date}; choose another version")
        return text.replace(f"## {wanted} (unreleased)", f"## {wanted} ({date})", 1)
    said = date or "unreleased"
    if heading.date is None:  # what is not released yet gets another number
        return text.replace(f"## {heading.version} (unreleased)", f"## {wanted} ({said})", 1)
    old = f"## {heading.version} ({heading.date})"
    return text.replace(old, f"## {wanted} ({said})\n\n{old}", 1)


def _check_date(date: str) -> None:
    try:
        datetime.date.fromisoformat(date)
    except ValueError as error:
        raise ReleaseError(f"{date!r} is no date; write it like 2026-12-01") from error


def _released(version: str) -> str:
    return version.partition("-")[0]
