"""A chart of this checkout, with the image repository that a release needs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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


def release_copy(chart: Path, folder: Path, image: str) -> Path:
    """A copy of a chart with another image repository.

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
    return copy


def _declared() -> dict[str, str]:
    schema = json.loads((ROOT / "schemas" / "values" / "common.schema.json").read_text(encoding="utf-8"))
    declared: dict[str, str] = schema["definitions"]["image"]["properties"]["repository"]
    return declared
