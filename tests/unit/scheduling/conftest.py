from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.fitoracle import Oracle, program
from tools.toolchain import ToolError


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    try:
        executable = program()
    except ToolError as error:
        pytest.skip(str(error))
    with Oracle(executable) as running:
        yield running
