"""The files of a log: reading from a position after rotations, and logs that outlive their cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.auditlog import KEEP, AuditLost, Mark, files, hand_over


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "audit.log"
    path.parent.mkdir()
    path.write_bytes(b"one\ntwo\nthr")
    return path


def rotate(log: Path, hour: int) -> Path:
    """As lumberjack does it, which the API server uses."""
    old = log.with_name(f"audit-2026-11-28T{hour:02}-00-00.000.log")
    log.rename(old)
    log.touch()
    return old


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_reading_goes_on_where_the_last_whole_line_ended(log: Path) -> None:
    mark = Mark.now(log)
    append(log, b"ee\nfour\n")
    assert list(mark.lines()) == [b"three\n", b"four\n"]


def test_rotation_loses_nothing(log: Path) -> None:
    mark = Mark.now(log)
    append(log, b"ee\n")
    rotate(log, 7)
    append(log, b"four\n")
    rotate(log, 8)
    append(log, b"five\n")
    assert b"".join(mark.lines()) == b"three\nfour\nfive\n"


def test_a_place_that_is_gone_is_no_empty_log(log: Path) -> None:
    mark = Mark.now(log)
    kept = rotate(log, 7)
    with kept.open("rb"):  # else another file might get its inode
        kept.unlink()
        with pytest.raises(AuditLost, match="rotated too often"):
            list(mark.lines())


@pytest.mark.parametrize("linkable", [True, False])
def test_a_stopped_cluster_leaves_all_files(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linkable: bool
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setenv(KEEP, str(folder))
    if not linkable:
        monkeypatch.setattr("os.link", refuse)
    rotate(log, 7)
    for _ in range(2):  # two clusters of one name, one after the other
        hand_over(log, "own-1")
    for path in log.parent.iterdir():
        path.unlink()
    assert {each.name.rpartition("-")[0] for each in folder.iterdir()} == {"own-1"}
    assert [[path.read_bytes() for path in files(each / "audit.log")] for each in folder.iterdir()] == [
        [b"one\ntwo\nthr", b""]
    ] * 2


def refuse(*_paths: Path) -> None:
    raise OSError("Invalid cross-device link")


def test_nothing_is_left_where_nobody_wants_it(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEEP, raising=False)
    hand_over(log, "own-1")
    monkeypatch.setenv(KEEP, str(tmp_path / "gone"))
    hand_over(log, "own-1")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
