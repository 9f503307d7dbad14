"""A chart of this checkout, with the image repository that a release needs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "moorage.dev/image-digest"
"""Annotation of a released chart: the image's digest. The charts' templates read it."""


class ReleaseError(Exception):
    """The chart cannot be released with this image repository. The message says what to do."""


def default_image() -> str:
    """The repository that the charts of a checkout name. It may not exist."""
    default: str = _declared()["x-default"]
    return default


def named_image(repository: str) -> str:
    """The image repository for a release.

    Raises:
        ReleaseError: none is named, or the name is not usable.
    """
    declared = _declared()
    if not repository:
        raise ReleaseError(
            f"the charts would name the image {default_image()}, which may not exist. Push the image "
            "(docs/guides/image.md) and name its repository: --image-repository REPOSITORY, or MOORAGE_IMAGE_REPOSITORY"
        )
    if not re.fullmatch(declared["pattern"], repository) or re.search(r":[^/]*$", repository):
        raise ReleaseError(f"{repository!r} is not an image repository; write it without a tag, like {default_image()}")
    if re.search(declared["x-unset"], repository):
        raise ReleaseError(
            f"{repository} names an image of the closed product, which counts as not set; name another image otherwise"
        )
    return repository


def release_copy(
    chart: Path, folder: Path, image: str, *, digest: str = "", changes: Sequence[Mapping[str, str]] = ()
) -> Path:
    """A copy of a chart with another image repository.

    Args:
        chart: its folder.
        folder: for the copy.
        image: the repository.
        digest: of the image. The pods use it as long as values name neither repository, tag nor digest.
        changes: what Artifact Hub shows as new, each with `kind` and `description`.

    Returns:
        The copy's folder.
    """
    copy = folder / chart.name
    shutil.copytree(chart, copy)
    for file in copy.rglob("*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            if default_image() in text:
                file.write_text(text.replace(default_image(), image), encoding="utf-8")
    for file in copy.rglob("Chart.yaml"):  # an umbrella's parts have files of their own
        file.write_text(_annotated(file.read_text(encoding="utf-8"), image, digest, changes), encoding="utf-8")
    return copy


def _annotated(text: str, image: str, digest: str, changes: Sequence[Mapping[str, str]]) -> str:
    """Chart.yaml with what is known only when a release is made.

    Source: https://artifacthub.io/docs/topics/annotations/helm/
    """
    if not digest and not changes:
        return text
    chart = yaml.safe_load(text)
    version, notes = chart["appVersion"], chart["annotations"]
    if digest:
        notes[DIGEST] = digest
        notes["artifacthub.io/images"] = _yaml([{"name": "moorage", "image": f"{image}:{version}@{digest}"}])
    if changes:
        notes["artifacthub.io/changes"] = _yaml([dict(each) for each in changes])
        notes["artifacthub.io/containsSecurityUpdates"] = str(any(e["kind"] == "security" for e in changes)).lower()
    notes["artifacthub.io/prerelease"] = str("-" in version).lower()
    return _yaml(chart)


def _yaml(content: object) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _declared() -> dict[str, str]:
    schema = json.loads((ROOT / "schemas" / "values" / "common.schema.json").read_text(encoding="utf-8"))
    declared: dict[str, str] = schema["definitions"]["image"]["properties"]["repository"]
    return declared
