"""README's first command, as a user meets it: green, interrupted, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.toolchain import ensure

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@pytest.fixture
def clusters(tmp_path: Path) -> Path:
    """A folder of our own for cluster state: its path on a command line or in an environment names our processes."""
    ensure(["demo"])
    return tmp_path / "clusters"


def start(clusters: Path, *arguments: str) -> subprocess.Popen[str]:
    """``./taskw demo`` in a session of its own, as a terminal would start it."""
    return subprocess.Popen(
        ["./taskw", "demo", "--", *arguments],
        cwd=ROOT,
        env={**os.environ, "MOORAGE_CLUSTERS_DIR": str(clusters)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(clusters: Path) -> Iterator[str]:
    """Every running process whose environment carries our folder."""
    mark = f"MOORAGE_CLUSTERS_DIR={clusters}".encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (
                    mark in (process / "environ").read_bytes().split(b"\0")
                    or str(clusters).encode() in (process / "cmdline").read_bytes()
                ):
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        yield f"{process.name} {(process / 'comm').read_text().strip()}"
            except OSError:
                continue


def folders_in(clusters: Path) -> list[Path]:
    """Cluster state left on disk, apart from logs kept on purpose."""
    return [path for path in clusters.iterdir() if path.name != "failed"] if clusters.exists() else []


def wait_until_nothing_is_left(clusters: Path) -> None:
    end = time.monotonic() + PATIENCE
    while left := list(processes_of(clusters)):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.1)


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the demo ended without saying {words!r}")


def test_the_demo_ends_with_a_checked_outcome(clusters: Path) -> None:
    process = start(clusters, "-o", "json")
    output, story = process.communicate(timeout=PATIENCE * 3)

    assert process.returncode == 0, story
    outcome = json.loads(output)
    assert outcome["ok"]
    assert outcome["node"] == outcome["planned_node"]
    assert outcome["node_uid"] == outcome["placeholder_uid"]
    assert outcome["phase"] == "Running"
    assert outcome["kubelet_version"] == "v1.36.3"
    assert "\x1b[" not in story, "colours are for terminals"
    assert list(processes_of(clusters)) == []
    assert folders_in(clusters) == []


MOMENTS = ["starting etcd", "control plane ready", "is Pending", "bound to", "adopted"]


def test_ctrl_c_ends_everything_and_says_so(clusters: Path) -> None:
    for moment in MOMENTS:
        process = start(clusters)
        read_until(process, moment)
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=PATIENCE)

        assert process.returncode == 130, moment
        assert "interrupted" in rest, moment
        assert "Traceback" not in rest, moment
        wait_until_nothing_is_left(clusters)
        assert folders_in(clusters) == [], moment


def test_kill_9_leaves_nothing_and_the_next_start_works(clusters: Path) -> None:
    for moment in MOMENTS:  # each start finds what the last one left
        process = start(clusters)
        read_until(process, moment)
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_until_nothing_is_left(clusters)

    process = start(clusters)
    _, story = process.communicate(timeout=PATIENCE * 3)
    assert process.returncode == 0, story
    assert folders_in(clusters) == [], "stale folders are removed"


def test_a_wrong_option_is_answered_with_the_right_ones(clusters: Path) -> None:
    process = start(clusters, "--nonsense")
    _, story = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "usage:" in story
    assert "Traceback" not in story
