"""`python -m tests.oracle.record`: record the oracle's verdicts on a few snapshots of every feature.

``tests/unit`` compares with the recording, without Go: the same snapshots and the plugins' own verdicts. Run it again
after a change of the strategies or of the Kubernetes version.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.oracle import compare, strategies
from tests.oracle.shapes import Case
from tests.oracle.strategies import FEATURES
from tools.fitoracle import Oracle, program
from tools.toolchain import ensure

RECORDING = Path(__file__).parents[1] / "unit" / "scheduling" / "recorded.jsonl"
_PER_FEATURE = 4


def main() -> None:
    """Write the recording."""
    executable = program() if os.environ.get("MOORAGE_FITORACLE") else ensure(["fitoracle"])["fitoracle"]
    lines = []
    with Oracle(executable) as oracle:
        for feature in FEATURES:
            for case in _mixed(feature):
                expected = compare.theirs(oracle.ask(compare.request(case)))
                lines.append(json.dumps(case | {"expected": expected}, separators=(",", ":"), sort_keys=True))
    RECORDING.write_text("\n".join(lines) + "\n")


def _mixed(feature: str) -> list[Case]:
    found: list[Case] = []

    @seed(20260101)
    @settings(
        max_examples=60, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=strategies.cases(feature))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    found.sort(key=lambda case: len(json.dumps(case)))
    middle = len(found) // 2
    return found[middle : middle + _PER_FEATURE]


if __name__ == "__main__":
    main()
