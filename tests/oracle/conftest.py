"""The oracle's process for the comparing tests, built on first use."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools.fitoracle import Oracle, program
from tools.localcluster import ClusterError
from tools.localcluster.binaries import binaries, oldest

collect_ignore = [] if oldest() else ["test_oldest.py"]
"""The older scheduler is built for ``task test:oldest`` only."""


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    try:
        executable = program() if os.environ.get("MOORAGE_FITORACLE") else binaries(["fitoracle"])["fitoracle"]
    except ClusterError as error:
        pytest.fail(f"these tests are nothing without the oracle: {error}")
    with Oracle(executable) as running:
        yield running
