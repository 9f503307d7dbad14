"""kill -9 of pinner, planner and API server while the demo's plan is carried out: the placement is the same.

Three random moments. ``./taskw faults:pin`` runs twenty.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tools.demo import moments
from tools.demo.targets import kept_environment
from tools.toolchain import ensure

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("victim", ["pinner", "planner", "apiserver"])
def test_a_kill_at_a_random_moment_changes_nothing(victim: str, tmp_path: Path) -> None:
    ensure(["demo"])
    moment = moments.Moment(victim, round(random.uniform(0, moments.LATEST), 2))
    environment = kept_environment() | {"MOORAGE_CLUSTERS_DIR": str(tmp_path / "clusters")}
    result = moments.run(moment, environment)

    told = f"{moment} of process {os.getpid()}:\n{result.story}"
    assert f"kill -9 of {victim}" in result.story, told
    assert result.code == 0, told
    assert result.shape == moments.expected(), told
