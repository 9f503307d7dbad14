"""The image, built once for all tests here. If it cannot be built, the tests are skipped, or fail in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

import tools.image
from tests import containers
from tools.image import archive
from tools.image.sandbox import Sandbox


@pytest.fixture(scope="session")
def image() -> archive.Archive:
    containers.require("image")
    return archive.read(tools.image.ensure())


@pytest.fixture(scope="session")
def sandbox(image: archive.Archive, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(image, tmp_path_factory.mktemp("image") / "root")


@pytest.fixture(scope="session")
def ours(image: archive.Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only the files that the image adds to its base."""
    folder = tmp_path_factory.mktemp("image") / "ours"
    image.unpack(folder, slice(1, None))
    return folder
