"""The output of `task cluster:status`."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.process import start_time, tail, uptime
from tools.localcluster.state import ClusterState, ComponentState, cluster_dir, is_running

_TAIL_LINES = 8


def describe(name: str) -> dict[str, Any]:
    """Describes a cluster.

    Returns:
        `running` and, if it runs, `healthy`, `ready`, `real` (nodes), `owner_pid`, `server`, `kubeconfig`, `logs`,
        `components` (name, pid, running, uptime_seconds, exit_code, log, and log_tail of an exited one) and
        `nodes` (name, ready). `nodes` is None while the API server does not answer.
    """
    directory = cluster_dir(name)
    state = ClusterState.read(directory)
    if state is None or not is_running(directory):
        return {"name": name, "running": False}
    components = [_component(component, each) for component, each in state.components.items()]
    return {
        "name": name,
        "running": True,
        "healthy": state.ready and all(component["running"] for component in components),
        "ready": state.ready,
        "real": state.real,
        "owner_pid": state.owner_pid,
        "server": state.server,
        "kubeconfig": str(directory / "kubeconfig"),
        "logs": str(directory / "logs"),
        "components": components,
        "nodes": _nodes(state, directory),
    }


def _component(name: str, state: ComponentState) -> dict[str, Any]:
    running = start_time(state.pid) == state.start_time
    description: dict[str, Any] = {
        "name": name,
        "pid": state.pid,
        "running": running,
        "uptime_seconds": round(uptime(state.start_time)) if running else None,
        "exit_code": state.exit_code,
        "log": state.log,
    }
    if not running:
        description["log_tail"] = tail(Path(state.log), _TAIL_LINES)
    return description


def _nodes(state: ClusterState, directory: Path) -> list[dict[str, Any]] | None:
    try:
        api = ApiClient(state.server, directory / "pki" / "ca.crt", state.admin_token)
        items = api.get("/api/v1/nodes")["items"]
    except (OSError, ApiError, http.client.HTTPException):
        return None
    return [{"name": node["metadata"]["name"], "ready": _is_ready(node)} for node in items]


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def render(description: dict[str, Any]) -> str:
    """The description as text for a terminal."""
    name = description["name"]
    if not description["running"]:
        return f"cluster {name} does not run: `task cluster:up` starts it"
    if not description["ready"]:
        word = f"being started or stopped by process {description['owner_pid']}"
    else:
        word = "ready" if description["healthy"] else "BROKEN: `task cluster:down`, then `task cluster:up`"
    lines = [
        f"cluster {name}: {word}",
        f"  server      {description['server']}",
        f"  kubeconfig  {description['kubeconfig']}",
        f"  logs        {description['logs']}",
        f"  supervisor  pid {description['owner_pid']}",
    ]
    for component in description["components"]:
        lines += _render_component(component)
    nodes = description["nodes"]
    if nodes is None:
        lines.append("  nodes       unknown, the API server does not answer")
    else:
        ready = sum(node["ready"] for node in nodes)
        shown = ", ".join(f"{n['name']}{'' if n['ready'] else ' (not ready)'}" for n in nodes[:20])
        more = ", …" if len(nodes) > 20 else ""
        lines.append(f"  nodes       {len(nodes)}, {ready} ready{': ' if nodes else ''}{shown}{more}")
    return "\n".join(lines)


def _render_component(component: dict[str, Any]) -> list[str]:
    name = f"  {component['name']:<24}"
    if component["running"]:
        minutes, seconds = divmod(component["uptime_seconds"], 60)
        hours, minutes = divmod(minutes, 60)
        return [f"{name} pid {component['pid']}, up {hours}:{minutes:02}:{seconds:02}"]
    code = component["exit_code"]
    ended = "ENDED" if code is None else f"ENDED with exit code {code}"
    quoted = [f"      {line}" for line in component["log_tail"].splitlines()]
    return [f"{name} {ended}; end of {component['log']}:", *quoted]
