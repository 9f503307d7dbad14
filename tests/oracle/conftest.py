"""The oracle's process for the comparing tests, built on first use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools.fitoracle import Oracle, program
from tools.toolchain import ToolError, ensure


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    try:
        executable = program() if os.environ.get("MOORAGE_FITORACLE") else ensure(["fitoracle"])["fitoracle"]
    except ToolError as error:
        pytest.fail(f"these tests are nothing without the oracle: {error}")
    with Oracle(executable) as running:
        yield running
