"""The comparison with other programs has only figures that the benchmarks have."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMPARISON = (ROOT / "docs/comparison.md").read_text()
BENCHMARKS = (ROOT / "docs/benchmarks.md").read_text()


def test_every_measured_figure_stands_in_the_benchmarks() -> None:
    table = COMPARISON.partition("| plain workloads |")[2].partition("\n\n")[0]
    figures = re.findall(r"\| ([\d,]+)(?: s)?(?= \|)", table)
    figures += re.findall(r"binds\s+([\d,]*\d)\s+pods\s+a\s+second,\s+kube-scheduler\s+([\d,]*\d)", COMPARISON)[0]
    assert len(figures) >= 10
    for figure in figures:
        assert re.search(rf"(?<![\d,.]){figure}(?![\d,])", BENCHMARKS), figure
