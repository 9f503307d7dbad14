"""Finds tools and builds missing ones: the library of the command."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.toolchain import golang, host, progress, versions
from tools.toolchain.build import Builder
from tools.toolchain.cache import Cache
from tools.toolchain.console import Console
from tools.toolchain.errors import ToolError
from tools.toolchain.golang import Go
from tools.toolchain.manifest import Folder, Tool


def tool_path(name: str, cache: Cache | None = None) -> Path:
    """The path of a tool. This does not build it.

    Args:
        name: a tool of tools.yaml.
        cache: None: the user's cache.

    Returns:
        Absolute path of the executable: in the cache, else one of the right version on PATH.

    Raises:
        ToolError: the name is unknown, or the tool has not been built yet.
    """
    cache = cache or Cache()
    if name not in cache.manifest.tools:
        raise ToolError(f"there is no tool {name!r} in tools/tools.yaml; tools: {', '.join(cache.manifest.tools)}")
    tool = cache.manifest.tools[name]
    if found := locate(cache, tool):
        return found
    raise ToolError(f"{name} {tool.folder.version} has not been built; ./taskw tools:build -- {name} builds it")


def ensure(
    names_or_groups: Iterable[str], cache: Cache | None = None, console: Console | None = None
) -> dict[str, Path]:
    """Make sure that tools exist: build the missing ones. Returns their paths.

    Args:
        names_or_groups: tools and groups of tools.yaml; none means all.
        cache: None: the user's cache.
        console: for output; None: standard error.

    Returns:
        Absolute path of the executable by tool name.

    Raises:
        ToolError: a name is unknown, or a tool is not available. The text has the reason and the way out.
    """
    cache, console = cache or Cache(), console or Console()
    tools = cache.manifest.select(names_or_groups)
    found = {tool: path for tool in tools if (path := locate(cache, tool))}
    missing = [tool for tool in tools if tool not in found]
    if missing:
        try:
            cache.base.mkdir(parents=True, exist_ok=True)
            _make(cache, missing, console)
        except OSError as error:
            raise ToolError(
                f"{error.filename or cache.base}: {error.strerror}; free space or grant rights there, "
                "or set MOORAGE_TOOLS_DIR to another folder"
            ) from error
    return {tool.name: found.get(tool) or cache.path(tool) for tool in tools}


def locate(cache: Cache, tool: Tool) -> Path | None:
    """Find an existing tool.

    Args:
        cache: searched first.
        tool: one of the manifest.

    Returns:
        The executable in the cache, else one on PATH that reports the right version, else None.
    """
    return cache.path(tool) if cache.has(tool) else on_path(tool)


def on_path(tool: Tool) -> Path | None:
    """Find a tool of exactly the right version on PATH. It is run to get its version.

    Args:
        tool: one of the manifest. Without `ask` there is no search.

    Returns:
        Its absolute path, or None.
    """
    found = shutil.which(tool.name) if tool.ask else None
    if not found:
        return None
    try:
        answer = subprocess.run(
            [found, *tool.ask], capture_output=True, text=True, check=False, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # a program that does not run does not count
    good = answer.returncode == 0 and versions.same(tool.folder.version, answer.stdout or answer.stderr)
    return Path(found).absolute() if good else None


def by_folder(tools: Iterable[Tool]) -> dict[Folder, list[Tool]]:
    """Group tools by module graph, so that each graph is compiled once.

    Args:
        tools: any tools.

    Returns:
        Tools by folder, in the order given.
    """
    result: dict[str, list[Tool]] = {}
    for tool in tools:
        result.setdefault(tool.folder.name, []).append(tool)
    return {group[0].folder: group for group in result.values()}


def estimate(cache: Cache, go: Go | None, missing: Sequence[Tool], jobs: int) -> progress.Needs:
    """Estimate a build. Packages that Go has compiled before do not count.

    Args:
        cache: the user's cache.
        go: the toolchain; None if it must be fetched.
        missing: the tools to build.
        jobs: compilations at a time.

    Returns:
        Time, disk and memory.
    """
    builder = Builder(cache, go, jobs, Console()) if go else None
    costs = [
        (folder.cost, builder.stale(folder, tools) if builder else None, len(tools))
        for folder, tools in by_folder(missing).items()
    ]
    needs = progress.needs(costs, jobs)
    if go is None:
        return progress.Needs(needs.seconds, needs.disk_mib + golang.WHEEL_MIB, needs.memory_mib)
    return needs


def free_mib(cache: Cache, go: Go | None) -> int:
    """The free disk space where a build writes: this cache and Go's own.

    Args:
        cache: the user's cache.
        go: the toolchain; None if it must be fetched.

    Returns:
        MiB on the disk with the least.
    """
    places = [cache.base, *(golang.caches(go, golang.environment(go, cache)) if go else [])]
    return min(host.free_mib(place) for place in places)


def _make(cache: Cache, missing: Sequence[Tool], console: Console) -> None:
    if url := os.environ.get("MOORAGE_TOOLS_URL"):
        from tools.toolchain import pack

        pack.install(cache, url, console)
        missing = [tool for tool in missing if not cache.has(tool)]
        if not missing:
            return
    go = golang.present(cache)
    cores, memory = host.cores(), host.memory_mib()
    jobs = progress.parallel(cores, memory)
    needs = estimate(cache, go, missing, jobs)
    free = free_mib(cache, go)
    console.say(announcement(missing, needs, jobs, free, memory))
    if free < needs.disk_mib:
        raise ToolError(
            f"there is not enough disk: {progress.size(needs.disk_mib)} needed, {progress.size(free)} free; make room "
            "(./taskw tools:clean, go clean -cache), or set MOORAGE_TOOLS_DIR, GOCACHE and GOMODCACHE to another disk"
        )
    go = go or golang.fetch(cache, console)
    builder = Builder(cache, go, jobs, console)
    for folder, tools in by_folder(missing).items():
        builder.build(folder, tools)


def announcement(tools: Sequence[Tool], needs: progress.Needs, jobs: int, free_mib: int, memory_mib: int | None) -> str:
    """One line about what will be built, and what it needs.

    Args:
        tools: the tools to build.
        needs: the estimate.
        jobs: compilations at a time.
        free_mib: free disk space.
        memory_mib: free memory; None if unknown.

    Returns:
        The line.
    """
    names = ", ".join(f"{tool.name} {tool.folder.version}".strip() for tool in tools)
    memory = "" if memory_mib is None else f" ({progress.size(memory_mib)} free)"
    short = "; memory is short, expect it to be slow" if memory_mib and memory_mib < needs.memory_mib else ""
    return (
        f"building {names}: about {progress.duration(needs.seconds)} on {jobs} core{'s' * (jobs > 1)}; "
        f"disk {progress.size(needs.disk_mib)} ({progress.size(free_mib)} free), "
        f"memory {progress.size(needs.memory_mib)}{memory}{short}"
    )
