"""What makes a chart of this checkout one that can be released: the image it names is there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class ReleaseError(Exception):
    """A chart cannot be released like this; the message has the way out."""


def default_image() -> str:
    """The repository that the charts of a checkout name; nobody has promised that there is anything."""
    default: str = _declared()["x-default"]
    return default


def named_image(repository: str) -> str:
    """The image repository that the releaser has named.

    Raises:
        ReleaseError: none is named, or it cannot be one of ours.
    """
    declared = _declared()
    if not repository:
        raise ReleaseError(
            f"the charts would name the image {default_image()}, and nobody has said that it is there. Push the image "
            "(docs/guides/image.md) and say where it is: --image-repository REPOSITORY, or MOORAGE_IMAGE_REPOSITORY"
        )
    if not re.fullmatch(declared["pattern"], repository) or re.search(r":[^/]*$", repository):
        raise ReleaseError(f"{repository!r} is no image repository; write it without a tag, like {default_image()}")
    if re.search(declared["x-unset"], repository):
        raise ReleaseError(
            f"{repository} is the name of an image of the closed product, which the charts take for unset; name ours "
            "otherwise"
        )
    return repository


def release_copy(chart: Path, folder: Path, image: str) -> Path:
    """A copy of a chart that names the image wherever the checkout's chart names its own.

    Returns:
        The copy, below the folder.
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
