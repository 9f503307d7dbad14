"""The rebalancing demo as users run it: to its end, and interrupted during drains."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from tests.e2e.test_demo import (
    PATIENCE,
    clusters,
    folders_in,
    read_until,
    start,
    told,
    wait_until_nothing_is_left,
)
from tools.auditlog import KEEP
from tools.demo import manifests
from tools.demo.rebalance import account
from tools.demo.rebalance.scenario import NODES, scenario
from tools.localcluster import accounts

__all__ = ["clusters"]  # a fixture

PROGRAM = (sys.executable, "-m", "tools.demo.rebalance")


def test_twelve_nodes_are_replaced_by_five_though_the_leader_is_killed(clusters: Path) -> None:
    wanted = scenario(NODES)
    ended = told(start(clusters, "-o", "json", command=PROGRAM), clusters)
    assert ended.code == 0, ended.story
    outcome = json.loads(ended.output)
    assert outcome["ok"]
    assert outcome["problems"] == []
    assert (outcome["old_nodes"], outcome["empty"], outcome["new_nodes"], outcome["filled"]) == (12, 12, 5, 5)
    assert outcome["slots"] == wanted.slots == outcome["left"] + sum(outcome["by"].values())
    assert outcome["devices"] == outcome["nominated"] == wanted.trainer.replicas
    assert len(outcome["placement"]) == wanted.pods
    assert all(each["lowest"] >= each["floor"] for each in outcome["workloads"].values())
    assert ended.story.index("machines have joined") < ended.story.index("kill -9 of pinner-")
    assert "\x1b[" not in ended.story, "colours are for terminals"
    assert ended.processes == []
    assert ended.folders == []
    logs = Path(os.environ[KEEP]).glob("own-*/audit.log")  # what the guard of the run will read
    assert any(accounts.user(manifests.NAMESPACE, account.PLANNER) in log.read_text() for log in logs)


def test_ctrl_c_while_nodes_are_drained_ends_everything(clusters: Path) -> None:
    process = start(clusters, "--nodes", "4", command=PROGRAM)
    read_until(process, "the planner empties old nodes")
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    wait_until_nothing_is_left(clusters)
    assert folders_in(clusters) == []
