"""One `go build` for the missing tools of a folder, with progress. No unfinished build is ever visible."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tools.toolchain import golang, guard, keys, progress
from tools.toolchain.cache import Cache
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError
from tools.toolchain.golang import Go
from tools.toolchain.locks import locked
from tools.toolchain.manifest import Folder, Tool
from tools.toolchain.places import Place, place

TAIL_LINES = 20
_TICK_SECONDS = 0.5
# A package whose program is linked elsewhere counts as compiled: Go's reason says so.
_STALE = '{{if and .Stale (ne .StaleReason "not installed but available in build cache")}}{{.ImportPath}}{{end}}'


class Builder:
    """Builds tools with one Go.

    Args:
        cache: the cache for the tools.
        go: the toolchain.
        jobs: compilations at a time.
        console: for output.
    """

    def __init__(self, cache: Cache, go: Go, jobs: int, console: Console) -> None:
        self._cache = cache
        self._go = go
        self._jobs = jobs
        self._console = console
        self._env = golang.environment(go, cache)

    def stale(self, folder: Folder, tools: Sequence[Tool]) -> int | None:
        """Count the packages that are not compiled yet, without using the network.

        Args:
            folder: the module graph.
            tools: tools of it.

        Returns:
            Packages, or None if modules must be downloaded first.
        """
        env = {**self._env, "GOPROXY": "off"}
        try:
            at = place(self._go, self._cache.source(folder), folder, env)
        except ToolError:  # the module itself is not downloaded yet
            return None
        command = [str(self._go.path), "list", "-deps", *at.flags, "-f", _STALE, *(tool.package for tool in tools)]
        answer = subprocess.run(command, cwd=at.folder, env=env, capture_output=True, text=True, check=False)
        return len(answer.stdout.split()) if answer.returncode == 0 else None

    def build(self, folder: Folder, tools: Sequence[Tool]) -> None:
        """Build tools of one folder into the cache. A second process waits and finds them there.

        Args:
            folder: the module graph.
            tools: the tools to build.

        Raises:
            ToolError: downloading, compiling or linking failed. The text has the last lines and the log's name.
        """
        home = self._cache.folder(folder)
        (home / "bin").mkdir(parents=True, exist_ok=True)
        with locked(home / "lock", self._console.say, f"building {folder.name}"):
            missing = [tool for tool in tools if not self._cache.has(tool)]
            if not missing:
                return
            for remains in home.glob("tmp-*"):  # of a killed run: this process holds the lock, so no other uses them
                shutil.rmtree(remains, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="tmp-", dir=home) as scratch:
                self._build(folder, missing, Path(scratch))

    def _build(self, folder: Folder, tools: Sequence[Tool], scratch: Path) -> None:
        log = self._cache.folder(folder) / "build.log"
        out = scratch / "out"
        out.mkdir()
        (scratch / "go").mkdir()
        env = {**self._env, "GOTMPDIR": str(scratch / "go")}  # removed with the rest, also after a kill
        started = time.monotonic()
        with log.open("wb") as output:
            at = place(self._go, self._cache.source(folder), folder, env)
            todo = self._list(folder, at, tools, env, scratch, output)
            self._compile(folder, at, tools, env, out, output, todo)
        for tool in tools:
            self._publish_beside(tool, at, env, scratch)  # first, so that an existing program is complete
            publish(out / (tool.name if len(tools) == 1 else keys.built_as(tool)), self._cache.path(tool))
        names = ", ".join(tool.name for tool in tools)
        self._console.say(f"{folder.name}: built {names} in {time.monotonic() - started:.0f} s")

    def _publish_beside(self, tool: Tool, at: Place, env: dict[str, str], scratch: Path) -> None:
        """Copy the files that a program needs beside it out of its module."""
        if not tool.beside:
            return
        command = [str(self._go.path), "list", *at.flags, "-f", "{{.Dir}}", tool.package]
        package = subprocess.run(command, cwd=at.folder, env=env, capture_output=True, text=True, check=True).stdout
        for name in tool.beside:
            copy = scratch / Path(name).name
            shutil.copyfile(Path(package.strip()) / name, copy)
            publish(copy, self._cache.path(tool).parent / copy.name)

    def _list(
        self, folder: Folder, at: Place, tools: Sequence[Tool], env: dict[str, str], scratch: Path, log: BinaryIO
    ) -> set[str]:
        """Download missing modules, and list the packages that must be compiled."""
        sums = self._cache.source(folder) / "go.sum"
        modules = sum("/go.mod " not in line for line in sums.read_text().splitlines()) if sums.exists() else 0
        command = [str(self._go.path), "list", "-deps", *at.flags, "-f", _STALE, *(tool.package for tool in tools)]
        loaded, tail = 0, _Tail(log)
        with (scratch / "packages").open("w+b") as listing:
            process = guard.spawn(command, cwd=at.folder, env=env, stdout=listing, stderr=subprocess.PIPE)
            for line in _lines(process):
                if line.startswith("go: downloading "):
                    loaded += 1
                elif line:
                    tail.add(line)
                if loaded:
                    self._console.progress(f"{folder.name}: downloading modules, {loaded} of at most {modules}")
            self._check(process, folder, "listing packages", tail)
            listing.seek(0)
            return set(listing.read().decode().split())

    def _compile(
        self,
        folder: Folder,
        at: Place,
        tools: Sequence[Tool],
        env: dict[str, str],
        out: Path,
        log: BinaryIO,
        todo: set[str],
    ) -> None:
        target = str(out / tools[0].name) if len(tools) == 1 else f"{out}/"
        command = [str(self._go.path), "build", "-v", f"-p={self._jobs}", *at.flags]
        command += ["-ldflags", keys.ldflags(folder.stamp), "-o", target, *(tool.package for tool in tools)]
        expected = progress.needs([(folder.cost, len(todo), 0)], self._jobs).seconds
        started, done, tail = time.monotonic(), 0, _Tail(log)
        process = guard.spawn(command, cwd=at.folder, env=env, stdout=subprocess.PIPE)
        for line in _lines(process):
            if line in todo:
                done += 1
            elif line:
                tail.add(line)
            elapsed = time.monotonic() - started
            if done < len(todo):
                left = progress.duration(progress.eta(elapsed, done, len(todo), expected))
                self._console.progress(f"{folder.name}: {done} of {len(todo)} packages, about {left} left")
            else:
                self._console.progress(f"{folder.name}: linking, {len(list(out.iterdir()))} of {len(tools)} programs")
        self._check(process, folder, "building", tail)

    def _check(self, process: subprocess.Popen[bytes], folder: Folder, what: str, tail: _Tail) -> None:
        self._console.clear()
        if code := process.wait():
            log = self._cache.folder(folder) / "build.log"
            raise ToolError(
                "\n".join(
                    [
                        *tail.lines[-TAIL_LINES:],
                        f"{what} of {folder.name} failed (exit code {code}), for the reason above; all output: {log}. "
                        "What was compiled is kept: run the same command again to go on "
                        "(behind a proxy set HTTPS_PROXY or GOPROXY first).",
                    ]
                )
            )


class _Tail:
    """The lines that are not progress: all go to the log, and the last ones to the message."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self._log.write(f"{line}\n".encode())
        self._log.flush()
        self.lines = [*self.lines[-TAIL_LINES:], line]


def publish(built: Path, target: Path) -> None:
    """Move a finished program to its place in one step, after its content is on disk.

    Args:
        built: the program, on the same file system.
        target: its path in the cache.
    """
    built.chmod(0o755)
    with built.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(built, target)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the lines of the process's pipe, and an empty line on each tick. Ends the process if the reader stops."""
    pipe = process.stdout or process.stderr
    assert pipe is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        try:
            while True:
                if not selector.select(_TICK_SECONDS):
                    yield ""
                    continue
                chunk = os.read(pipe.fileno(), 65536)
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace").rstrip() for line in whole)
            if rest:
                yield rest.decode(errors="replace").rstrip()
            process.wait()
        finally:
            guard.end(process)
            pipe.close()
