"""The times of kwok's pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools.localcluster import nodes
from tools.localcluster.nodes import AT_ONCE, Pace, paced

STAGES = Path(nodes.__file__).with_name("kwok.yaml").read_text()


def delays(text: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each["spec"].get("delay") for each in yaml.safe_load_all(text)}


def test_pods_take_their_time_and_nodes_do_not() -> None:
    assert delays(paced(STAGES, Pace(ready=(2, 5.5), gone=3))) == {
        "node-ready": None,
        "pod-running": {"durationMilliseconds": 2000, "jitterDurationMilliseconds": 5500},
        "pod-deleted": {"durationMilliseconds": 3000, "jitterDurationMilliseconds": 3000},
    }


def test_nothing_else_changes() -> None:
    assert list(yaml.safe_load_all(paced(STAGES, AT_ONCE))) == list(yaml.safe_load_all(STAGES))
