"""Keys, versions, estimates: all pure functions."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.toolchain import ToolError, host, keys, progress, versions
from tools.toolchain.console import Console
from tools.toolchain.manifest import Cost, Folder, Tool

COST = Cost(cpu_seconds=600, packages=1000, disk_mib=4000, memory_mib=1500)
FILES = {"go.mod": b"module x", "go.sum": b""}


def tool(package: str) -> Tool:
    return Tool("name", "demo", Folder("a", COST), package)


def test_key_depends_on_everything_that_decides_the_result() -> None:
    base = keys.folder_key(FILES, {"v": "1"}, "linux", "amd64", ["-trimpath"])
    others = {
        keys.folder_key({**FILES, "go.sum": b"x"}, {"v": "1"}, "linux", "amd64", ["-trimpath"]),
        keys.folder_key({**FILES, "main.go": b""}, {"v": "1"}, "linux", "amd64", ["-trimpath"]),
        keys.folder_key(FILES, {"v": "2"}, "linux", "amd64", ["-trimpath"]),
        keys.folder_key(FILES, {"v": "1"}, "linux", "arm64", ["-trimpath"]),
        keys.folder_key(FILES, {"v": "1"}, "darwin", "amd64", ["-trimpath"]),
        keys.folder_key(FILES, {"v": "1"}, "linux", "amd64", []),
    }
    assert base not in others
    assert len(others) == 6


def test_key_does_not_depend_on_order() -> None:
    backwards = dict(reversed(FILES.items()))
    assert keys.folder_key(FILES, {"a": "1", "b": "2"}, "linux", "amd64", []) == keys.folder_key(
        backwards, {"b": "2", "a": "1"}, "linux", "amd64", []
    )


def test_content_cannot_move_between_files_unnoticed() -> None:
    one = keys.folder_key({"go.mod": b"ab", "go.sum": b"c"}, {}, "linux", "amd64", [])
    two = keys.folder_key({"go.mod": b"a", "go.sum": b"bc"}, {}, "linux", "amd64", [])
    assert one != two


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("go.etcd.io/etcd/server/v3", "server"),
        ("helm.sh/helm/v4/cmd/helm", "helm"),
        ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
        ("./cmd/a", "a"),
    ],
)
def test_file_name_go_gives(package: str, name: str) -> None:
    assert keys.built_as(tool(package)) == name


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("main.go", True),
        ("cmd/a/main.go", True),
        ("main_test.go", False),
        ("testdata/x.go", False),
        ("vendor/x/x.go", False),
        (".cache/x.go", False),
        ("README.md", False),
    ],
)
def test_sources_of_our_own_programs(path: str, counts: bool) -> None:
    assert keys.is_source(path) is counts


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8", "3.7.3"),
        ("Client Version: v1.36.3\nKustomize Version: v5.8.1", "1.36.3"),
        ("Kubernetes v1.36.3+k3s1", "1.36.3"),
        ("Client Version: v1.32.4-dispatcher", "1.32.4-dispatcher"),
        ("go version go1.27rc1 linux/amd64", "1.27"),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", "0.8.0"),
        ("v4.3.1+g1234567", "4.3.1"),
        ("no version here", ""),
    ],
)
def test_version_in_an_answer(answer: str, version: str) -> None:
    assert versions.find(answer) == version


def test_only_exactly_the_same_version_is_taken() -> None:
    assert versions.same("v1.36.3", "Kubernetes v1.36.3")
    assert not versions.same("v1.36.3", "Kubernetes v1.36.30")
    assert not versions.same("v1.36.3", "Kubernetes v1.36.3-gke.100")
    assert not versions.same("v1.36.3", "")
    assert not versions.same("", "")


def test_minimum_compares_numbers_not_texts() -> None:
    assert versions.at_least("go version go1.26 linux/amd64", (1, 26))
    assert versions.at_least("go version go1.100.1 linux/amd64", (1, 26))
    assert versions.at_least("go version go2.0 linux/amd64", (1, 26))
    assert not versions.at_least("go version go1.9.7 linux/amd64", (1, 26))
    assert not versions.at_least("", (1, 26))


def test_needs_shrink_with_what_is_compiled_already() -> None:
    cold = progress.needs([(COST, None, 2)], jobs=2)
    half = progress.needs([(COST, 500, 2)], jobs=2)
    warm = progress.needs([(COST, 0, 2)], jobs=2)
    assert cold.seconds == 600 / 2 + 2 * progress.LINK_CPU_SECONDS / 2
    assert cold.seconds > half.seconds > warm.seconds > 0
    assert cold.disk_mib > half.disk_mib > warm.disk_mib > 0


def test_needs_of_folders_add_up_but_for_memory() -> None:
    small = Cost(cpu_seconds=60, packages=100, disk_mib=400, memory_mib=500)
    both = progress.needs([(COST, None, 1), (small, None, 1)], jobs=1)
    alone = [progress.needs([(cost, None, 1)], jobs=1) for cost in (COST, small)]
    assert both.seconds == sum(each.seconds for each in alone)
    assert both.disk_mib == sum(each.disk_mib for each in alone)
    assert both.memory_mib == 1500


def test_parallelism_is_limited_by_memory() -> None:
    assert progress.parallel(8, None) == 8
    assert progress.parallel(8, 64 * 1024) == 8
    assert progress.parallel(8, 6 * 1024) == 3
    assert progress.parallel(8, 100) == 1


@given(elapsed=st.floats(0, 1e5), todo=st.integers(0, 5000), done=st.integers(0, 5000), expected=st.floats(0, 1e5))
def test_eta_is_never_negative_and_ends_at_zero(elapsed: float, todo: int, done: int, expected: float) -> None:
    left = progress.eta(elapsed, min(done, todo), todo, expected)
    assert left >= 0
    assert progress.eta(elapsed, todo, todo, expected) == 0


def test_eta_follows_the_measured_speed_towards_the_end() -> None:
    """Expected 100 s, but it is twice as slow: near the end the estimate follows the measured speed."""
    assert progress.eta(0, 0, 1000, expected=100) == 100
    assert progress.eta(180, 900, 1000, expected=100) == pytest.approx(19, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "5 s"), (7, "10 s"), (59, "60 s"), (61, "2 min"), (3600, "1 h 0 min"), (4201, "1 h 11 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_size() -> None:
    assert progress.size(800) == "800 MiB"
    assert progress.size(4608) == "4.5 GiB"


@pytest.mark.parametrize(
    ("text", "cpus"), [("max 100000\n", None), ("150000 100000", 2), ("50000 100000", 1), ("", None), ("junk", None)]
)
def test_cgroup_quota(text: str, cpus: int | None) -> None:
    assert host.cgroup_cpus(text) == cpus


def test_free_memory() -> None:
    assert host.memory_mib("MemTotal: 16 kB\nMemAvailable:    2097152 kB\n") == 2048
    assert host.memory_mib("MemTotal: 16 kB\n") is None


def test_cache_folder_follows_the_users_variables() -> None:
    assert str(host.cache_dir({"XDG_CACHE_HOME": "/x", "HOME": "/h"})) == "/x/moorage"
    assert str(host.cache_dir({"HOME": "/h"})) == "/h/.cache/moorage"
    with pytest.raises(ToolError, match="neither HOME nor XDG_CACHE_HOME is set"):
        host.cache_dir({})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_line_is_replaced_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = Terminal()
    console = Console(stream)
    for step in range(3):
        now[0] += 0.15
        console.progress(f"step {step}")
    console.say("done")
    assert stream.getvalue() == "\r\x1b[Kstep 1\r\x1b[Kdone\n"


def test_elsewhere_a_plain_line_every_fifteen_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    console = Console(stream)
    for step in range(31):
        now[0] = float(step)
        console.progress(f"step {step}")
    assert stream.getvalue() == "step 15\nstep 30\n"
