"""Archives of tools: equal bytes for equal tools, and only archives with known digests are installed."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.tools.conftest import script
from tools.toolchain import ToolError, pack, provide
from tools.toolchain.cache import Cache
from tools.toolchain.console import Console
from tools.toolchain.manifest import Tool

Served = dict[str, tuple[int, dict[str, str], bytes]]


@pytest.fixture
def tools(cache: Cache) -> list[Tool]:
    """Two fake tools in the cache."""
    chosen = list(cache.manifest.select(["demo"]))
    for tool in chosen:
        cache.path(tool).parent.mkdir(parents=True, exist_ok=True)
        script(cache.path(tool), f"#!/bin/sh\necho {tool.name} v1.2.3\n")
    return chosen


@pytest.fixture
def archive(cache: Cache, tools: list[Tool], checkout: Path) -> Path:
    """They are packed and recorded."""
    path = pack.write(cache, tools, checkout / "build")
    pack.record(checkout)
    return path


@pytest.fixture
def empty(checkout: Path, tmp_path: Path) -> Cache:
    """Another user's cache."""
    base = tmp_path / "other"
    base.mkdir()
    return Cache(checkout, {"MOORAGE_TOOLS_DIR": str(base)})


@pytest.fixture
def serve() -> Iterator[Callable[[Served], str]]:
    """Serve answers by path on loopback; gives the address."""
    with contextlib.ExitStack() as stack:

        def start(answers: Served) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    status, headers, body = answers[self.path]
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, format: str, *args: object) -> None:
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


def refused(cache: Cache, url: str) -> str:
    """Install, expect a refusal, give the line."""
    stream = io.StringIO()
    assert pack.install(cache, url, Console(stream)) is False
    assert [path for path in cache.base.rglob("*") if path.is_file()] == []
    line = stream.getvalue().splitlines()[-1]
    assert line.endswith("building instead")
    return line


def test_same_tools_give_the_same_bytes(cache: Cache, tools: list[Tool], checkout: Path, tmp_path: Path) -> None:
    first = pack.write(cache, tools, checkout / "build")
    cache.path(tools[0]).touch()
    second = pack.write(cache, list(reversed(tools)), tmp_path / "elsewhere")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_installed_over_loopback_instead_of_building(
    empty: Cache, archive: Path, serve: Callable[[Served], str], calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORAGE_TOOLS_URL", serve({"/x.tar.gz": (200, {}, archive.read_bytes())}) + "/x.tar.gz")
    stream = io.StringIO()
    paths = provide.ensure(["demo"], empty, Console(stream))
    assert paths["alpha"].read_text() == "#!/bin/sh\necho alpha v1.2.3\n"
    assert empty.has(empty.manifest.tools["beta"])
    assert not calls.exists()
    assert stream.getvalue().splitlines()[-1] == "installed alpha, beta"
    assert list(empty.base.glob("tmp-*")) == []


def test_unknown_digest_is_refused_and_built_instead(
    empty: Cache, archive: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write_bytes(archive.read_bytes() + b"x")
    monkeypatch.setenv("MOORAGE_TOOLS_URL", archive.as_uri())
    stream = io.StringIO()
    paths = provide.ensure(["demo"], empty, Console(stream))
    assert "is not in tools/digests.txt" in stream.getvalue()
    assert "building instead" in stream.getvalue()
    assert paths["alpha"].read_text().endswith("echo built version v1.2.3\n")


def test_file_is_installed(empty: Cache, archive: Path) -> None:
    assert pack.install(empty, archive.as_uri(), Console(io.StringIO())) is True


@pytest.mark.parametrize(
    "url", ["http://example.org/x.tar.gz", "http://127.0.0.1.example.org/x", "ftp://127.0.0.1/x", "x.tar.gz", ""]
)
def test_only_safe_addresses(url: str) -> None:
    with pytest.raises(ToolError, match="only https, file, and http on a loopback address"):
        pack.check_url(url)


def test_redirect_away_from_loopback_is_refused(empty: Cache, serve: Callable[[Served], str]) -> None:
    url = serve({"/x": (302, {"Location": "http://example.org/x"}, b"")})
    assert "only https" in refused(empty, f"{url}/x")


def test_redirect_to_a_file_is_refused(empty: Cache, archive: Path, serve: Callable[[Served], str]) -> None:
    url = serve({"/x": (302, {"Location": archive.as_uri()}, b"")})
    assert "redirect" in refused(empty, f"{url}/x")


def test_short_download_is_refused(empty: Cache, archive: Path, serve: Callable[[Served], str]) -> None:
    body = archive.read_bytes()
    url = serve({"/x": (200, {"Content-Length": str(len(body) + 10)}, body)})
    assert "bytes" in refused(empty, f"{url}/x")


def test_missing_archive_is_refused(empty: Cache, serve: Callable[[Served], str], tmp_path: Path) -> None:
    assert "404" in refused(empty, serve({"/x": (404, {}, b"")}) + "/x")
    assert "No such file" in refused(empty, (tmp_path / "nothing").as_uri())


def write_archive(checkout: Path, members: dict[str, bytes]) -> Path:
    """An archive with these members whose own digest is recorded."""
    path = checkout / "build" / "moorage-tools-x.tar.gz"
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    pack.record(checkout)
    return path


def test_member_with_another_digest_is_refused(empty: Cache, checkout: Path) -> None:
    name = empty.path(empty.manifest.tools["alpha"]).relative_to(empty.base).as_posix()
    path = write_archive(checkout, {pack.MEMBER: f"{'0' * 64}  {name}\n".encode(), name: b"#!/bin/sh\n"})
    assert "does not have the digest" in refused(empty, path.as_uri())


def test_members_of_other_names_are_left_alone(empty: Cache, checkout: Path, tmp_path: Path) -> None:
    path = write_archive(checkout, {pack.MEMBER: b"", "../escaped": b"x", f"{tmp_path}/escaped": b"x"})
    assert "has no tool of this checkout" in refused(empty, path.as_uri())
    assert not (tmp_path / "escaped").exists()


def test_archive_without_digests_is_refused(empty: Cache, checkout: Path) -> None:
    assert f"has no {pack.MEMBER}" in refused(empty, write_archive(checkout, {"x": b""}).as_uri())


def test_recorded_digests_of_other_machines_stay(archive: Path, checkout: Path) -> None:
    other = f"{'a' * 64}  moorage-tools-linux-arm64-x.tar.gz"
    digests = checkout / pack.DIGESTS
    digests.write_text(f"{other}\n{digests.read_text()}")
    (line,) = pack.record(checkout)
    assert sorted(digests.read_text().splitlines()) == sorted([other, line])


def test_damaged_digest_file_is_named(checkout: Path, archive: Path, empty: Cache) -> None:
    (checkout / pack.DIGESTS).write_text("<<<<<<< HEAD\n")
    assert "'<<<<<<< HEAD' is not a digest line" in refused(empty, archive.as_uri())


def test_tool_from_path_is_not_packed(cache: Cache, checkout: Path) -> None:
    with pytest.raises(ToolError, match="alpha is taken from PATH"):
        pack.write(cache, [cache.manifest.tools["alpha"]], checkout / "build")
    with pytest.raises(ToolError, match=r"no archive in .*tools:pack writes one"):
        pack.record(checkout)
