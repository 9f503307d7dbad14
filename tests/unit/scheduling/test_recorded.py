"""What kube-scheduler's own plugins said, replayed without Go: snapshots of every feature, and every disagreement so
far.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moorage.scheduling import Fit
from tests.oracle import compare

_HERE = Path(__file__).parent
_REGRESSIONS = sorted((_HERE / "regressions").glob("*.json"))


@pytest.mark.parametrize("path", _REGRESSIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("order", [None, 1, 2, 3])
def test_regression(path: Path, order: int | None) -> None:
    case = json.loads(path.read_text())
    assert compare.disagreement(compare.ours(case, order), case["expected"]) is None, case["story"]


def test_recorded_verdicts() -> None:
    cases: list[dict[str, Any]] = [json.loads(line) for line in (_HERE / "recorded.jsonl").read_text().splitlines()]
    seen = {Fit.YES: 0, Fit.NO: 0, Fit.UNKNOWN: 0}
    for number, case in enumerate(cases):
        our = compare.ours(case, number)
        assert compare.disagreement(our, case["expected"]) is None, case["features"]
        for verdicts in our.values():
            for verdict in verdicts.values():
                seen[verdict.fit] += 1
    assert len(cases) >= 90
    assert seen[Fit.YES] > 200
    assert seen[Fit.NO] > 200
    assert seen[Fit.UNKNOWN] < 0.1 * sum(seen.values())
