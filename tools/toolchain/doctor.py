"""The state of all tools, as text and as JSON."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.toolchain import golang, host, progress, provide, versions
from tools.toolchain.cache import Cache


@dataclass(frozen=True)
class ToolState:
    """A tool. `found` is cache, PATH or missing; `build_seconds` is 0 unless it is missing."""

    name: str
    group: str
    version: str
    found: str
    path: str
    build_seconds: int


@dataclass(frozen=True)
class Report:
    """The state of the whole toolchain. `problems` is empty if all tools are available."""

    tools: Sequence[ToolState]
    python: Mapping[str, str]
    uv: Mapping[str, str]
    go: Mapping[str, str]
    machine: Mapping[str, int | None]
    cache: str
    problems: Sequence[str]


def examine(cache: Cache) -> Report:
    """Check every tool, and estimate the build of the missing ones. Changes nothing, and uses no network.

    Args:
        cache: the user's cache.

    Returns:
        The report.
    """
    go = golang.present(cache)
    cores, memory = host.cores(), host.memory_mib()
    jobs = progress.parallel(cores, memory)
    found = {tool: provide.locate(cache, tool) for tool in cache.manifest.tools.values()}
    missing = [tool for tool, path in found.items() if path is None]
    states = []
    for tool, path in found.items():
        where = "missing" if path is None else "cache" if path == cache.path(tool) else "PATH"
        seconds = 0 if path else round(provide.estimate(cache, go, [tool], jobs).seconds)
        states.append(ToolState(tool.name, tool.group, tool.folder.version, where, str(path or ""), seconds))
    uv = Path(sys.executable).with_name("uv")
    uv_path = str(uv) if uv.exists() else shutil.which("uv") or ""
    free = provide.free_mib(cache, go)
    needed = provide.estimate(cache, go, missing, jobs).disk_mib if missing else 0
    problems = []
    if missing and not go and not uv_path:
        problems.append("no Go >= 1.26 on PATH and no uv to fetch it with; run ./taskw doctor, or install Go")
    if needed > free:
        problems.append(
            f"the missing tools need {progress.size(needed)} of disk, {progress.size(free)} are free; make room or set "
            "MOORAGE_TOOLS_DIR, GOCACHE and GOMODCACHE to another disk"
        )
    return Report(
        tools=states,
        python={"version": platform.python_version(), "path": sys.executable},
        uv={"version": _version(uv_path), "path": uv_path},
        go={
            "version": go.version if go else "",
            "path": str(go.path) if go else "",
            "source": ("wheel" if go.fetched else "PATH") if go else "fetched when something must be built",
        },
        machine={"cores": cores, "memory_free_mib": memory, "disk_free_mib": free, "disk_needed_mib": needed},
        cache=str(cache.base),
        problems=problems,
    )


def as_json(report: Report) -> dict[str, object]:
    """Convert a report to plain values.

    Args:
        report: from `examine`.

    Returns:
        A mapping with the report's field names.
    """
    return asdict(report)


def as_text(report: Report) -> str:
    """Format a report as text.

    Args:
        report: from `examine`.

    Returns:
        Lines without a trailing line break.
    """
    width = max((len(tool.name) for tool in report.tools), default=4)
    lines = []
    for tool in report.tools:
        where = tool.path or f"about {progress.duration(tool.build_seconds)} to build when first needed"
        lines.append(f"{tool.name:{width}}  {tool.group:5}  {tool.version:8}  {tool.found:7}  {where}")
    go = f"{report.go['version']} {report.go['path']}".strip()
    machine = report.machine
    memory = machine["memory_free_mib"]
    lines += [
        "",
        f"Python  {report.python['version']} {report.python['path']}",
        f"uv      {report.uv['version']} {report.uv['path']}".rstrip(),
        f"Go      {go} ({report.go['source']})" if go else f"Go      {report.go['source']}",
        f"cache   {report.cache}",
        f"machine {machine['cores']} cores, memory free {progress.size(memory) if memory else 'unknown'}, "
        f"disk free {progress.size(machine['disk_free_mib'] or 0)}"
        + (f", {progress.size(machine['disk_needed_mib'])} needed" if machine["disk_needed_mib"] else ""),
        *(f"problem: {problem}" for problem in report.problems),
    ]
    return "\n".join(lines)


def _version(program: str) -> str:
    if not program:
        return ""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return versions.find(answer.stdout)
