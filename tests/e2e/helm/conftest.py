"""Fixtures of what is installed with Helm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.helmrepo import Repository, charts

CLOSED = Path(__file__).with_name("closed")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """This checkout's charts, and the stand-in of the closed one, over HTTP."""
    with Repository(tmp_path_factory.mktemp("charts")) as served:
        served.add(*charts(), CLOSED)
        yield served
