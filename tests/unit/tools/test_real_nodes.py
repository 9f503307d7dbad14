"""Real nodes: addresses, image archives and packages, before anything runs."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from tools.localcluster import ClusterError, host, images, network
from tools.localcluster.network import Network
from tools.localcluster.realnode import snapshotter


def _network(subnet: str = "10.200.16.0/20") -> Network:
    return Network(ipaddress.IPv4Network(subnet), "10.0.0.0/16", "moor0")


def test_addresses_of_a_cluster_never_overlap() -> None:
    net = _network()
    nodes = {net.host, net.dns, *(net.node(number) for number in range(1, network.MAX_NODES + 1))}
    assert len(nodes) == network.MAX_NODES + 2
    ranges = [ipaddress.IPv4Network(net.pods(number)) for number in range(1, network.MAX_NODES + 1)]
    assert all(pods.subnet_of(net.subnet) for pods in ranges)
    assert not any(ipaddress.ip_address(node) in pods for node in nodes for pods in ranges)
    assert not any(one.overlaps(other) for one in ranges for other in ranges if one is not other)
    assert Network.from_state(json.loads(json.dumps(net.as_state()))) == net


@pytest.mark.parametrize(
    ("routes", "wide"),
    [
        (["default", "192.0.2.0/24", "local"], "10.192.0.0/10"),
        (["10.192.0.0/11", "10.224.0.1", "10.255.0.0/16"], "10.224.0.0/11"),
        (["10.0.0.0/8"], "198.18.0.0/15"),
    ],
)
def test_ranges_that_routes_touch_are_not_chosen(monkeypatch: pytest.MonkeyPatch, routes: list[str], wide: str) -> None:
    taken = [ipaddress.IPv4Network(route) for route in routes if route[0].isdigit()]
    monkeypatch.setattr(network, "_routes", lambda: taken)
    for _ in range(20):
        subnet = network.choose("moor0", "10.0.0.0/16").subnet
        assert subnet.subnet_of(ipaddress.IPv4Network(wide))
        assert not any(subnet.overlaps(route) for route in taken)


def test_no_free_range_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [ipaddress.IPv4Network(route) for route in ("10.0.0.0/8", "198.0.0.0/8")]
    monkeypatch.setattr(network, "_routes", lambda: taken)
    with pytest.raises(ClusterError, match="no free address range"):
        network.choose("moor0", "10.0.0.0/16")


# Images ----------------------------------------------------------------------------------------------------


def test_same_files_give_the_same_archive(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"content")
    first = images.write_archive(tmp_path / "1.tar", "localhost/x:1", {"program": program}, ["/program"])
    os.utime(program, (1, 1))
    second = images.write_archive(tmp_path / "2.tar", "localhost/x:1", {"program": program}, ["/program"])
    assert first.read_bytes() == second.read_bytes()
    assert images.names(first) == ["localhost/x:1"]


def _archive(path: Path, **members: object) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, value in members.items():
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(f"{name}.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


_REF = "org.opencontainers.image.ref.name"


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"index": {"manifests": [{"annotations": {_REF: "ghcr.io/a/b:2.0.0"}}]}}, ["ghcr.io/a/b:2.0.0"]),
        (
            {"manifest": [{"RepoTags": ["localhost:5000/a:1", "localhost/b:1"]}]},
            ["localhost:5000/a:1", "localhost/b:1"],
        ),
        ({"index": {"manifests": [{}, {"annotations": {_REF: "localhost/a:1"}}]}}, ["localhost/a:1"]),
    ],
)
def test_names_in_archives(tmp_path: Path, members: dict[str, object], names: list[str]) -> None:
    assert images.names(_archive(tmp_path / "a.tar", **members)) == names


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"index": {"manifests": [{"annotations": {_REF: "latest"}}]}}, "names no image in full .only latest."),
        ({"index": {"manifests": [{"annotations": {_REF: "localhost:5000/untagged"}}]}}, "names no image in full"),
        ({"manifest": [{"RepoTags": None}]}, "names no image in full .none."),
        ({"index": {}}, "is not an image archive"),
        ({"other": {}}, "is not an image archive"),
        ({"index": 1}, "is not an image archive"),
    ],
)
def test_archives_without_a_full_name_are_refused(tmp_path: Path, members: dict[str, object], reason: str) -> None:
    path = _archive(tmp_path / "a.tar", **members)
    with pytest.raises(ClusterError, match=f"{path} {reason}"):
        images.names(path)


# The machine -----------------------------------------------------------------------------------------------


def test_the_list_of_packages_names_both_purposes() -> None:
    assert {package.purpose for package in host.packages()} == {"cluster", "image"}


def test_what_is_missing_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = host.Package("some-runtime", "cluster", "no-such-program")
    monkeypatch.setattr(host, "packages", lambda: [absent, host.Package("base-files", "cluster", "/etc")])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert host.missing("cluster") == (
        "Debian packages are missing: some-runtime; `./taskw cluster:install` as root installs them"
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert host.missing("cluster") == "real containers need root"
    with pytest.raises(ClusterError, match="missing: some-runtime; run this as root"):
        host.install(lambda _line: None)


@pytest.mark.parametrize(("code", "said"), [(0, None), (100, "apt-get update failed with exit code 100:\nno network")])
def test_only_what_is_missing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str | None
) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/calls\necho 'no network'\nexit {code}\n")
    apt.chmod(0o755)
    monkeypatch.setattr(host, "_PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    wanted = [host.Package("some-runtime", "cluster", "no-such-program"), host.Package("base-files", "cluster", "/etc")]
    monkeypatch.setattr(host, "packages", lambda: wanted)
    lines: list[str] = []
    if said is None:
        host.install(lines.append)
        assert (tmp_path / "calls").read_text().splitlines()[1].endswith("--no-install-recommends some-runtime")
        assert lines == ["installing some-runtime", "installed"]
    else:
        with pytest.raises(ClusterError) as failure:
            host.install(lines.append)
        assert str(failure.value) == said


def test_nothing_is_installed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "packages", lambda: [host.Package("base-files", "cluster", "/etc")])
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("something was run"))
    lines: list[str] = []
    host.install(lines.append)
    assert lines == ["all Debian packages are installed"]


def test_one_process_at_a_time() -> None:
    with host.exclusive("unit-test"), socket.socket(socket.AF_UNIX) as other:
        with pytest.raises(OSError, match="in use"):
            other.bind("\0moorage-unit-test")
        with host.exclusive("unit-test-2"):
            pass
    with host.exclusive("unit-test"):
        pass


def test_overlays_are_used_where_they_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.localcluster.realnode.file_system", lambda _folder: "ext4")
    assert snapshotter(tmp_path) == "overlayfs"
    monkeypatch.setattr("tools.localcluster.realnode.file_system", lambda _folder: "overlay")
    assert snapshotter(tmp_path) == "native"
