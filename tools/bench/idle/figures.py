"""From what was measured to figures, targets and the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tools.bench.common.tables import MISSED

from .requests import POD_LIST, Requests

TARGETS = {"cpu_m": 2.0, "rss_mib": 100.0, "requests_per_s": 1.0, "pod_lists": 0.0}
"""The most that each program may use: CPU, resident memory, requests to the API server, and lists of pods."""
_TITLES = {
    "cpu_m": "CPU, milli-cores",
    "rss_mib": "RSS, highest, MiB",
    "requests_per_s": "requests a second",
    "pod_lists": "lists of pods",
}
COLUMNS = ("nodes", "", "", "figure", "target", "")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Use:
    """The use of one process over a time.

    Attributes:
        seconds: length of the time.
        cpu_s: CPU seconds of all threads.
        rss_mib: most resident memory in the time, sampled.
        end_mib: resident memory at its end.
        start_mib: most resident memory since the process was started (VmHWM).
        requests: answered requests to the API server.
    """

    seconds: float
    cpu_s: float
    rss_mib: float
    end_mib: float
    start_mib: float
    requests: Requests


@dataclass(frozen=True, slots=True)
class Server:
    """The CPU of the control plane, in milli-cores.

    Attributes:
        without_m: the API server's without our processes.
        with_m: the API server's with them.
        etcd_without_m: etcd's without them.
        etcd_with_m: etcd's with them.
    """

    without_m: float
    with_m: float
    etcd_without_m: float
    etcd_with_m: float


def milli(cpu_s: float, seconds: float) -> float:
    """CPU seconds of some seconds as milli-cores."""
    return round(1000 * cpu_s / seconds, 2)


def program(use: Use) -> Json:
    """The figures of one program."""
    minutes = use.seconds / 60
    return {
        "cpu_m": milli(use.cpu_s, use.seconds),
        "rss_mib": round(use.rss_mib, 1),
        "rss_end_mib": round(use.end_mib, 1),
        "rss_since_start_mib": round(use.start_mib, 1),
        "requests_per_s": round(use.requests.total() / use.seconds, 2),
        "pod_lists": use.requests[POD_LIST],
        "requests_per_minute": {kind: round(count / minutes, 2) for kind, count in use.requests.most_common()},
    }


def size(nodes: int, pods: int, uses: Mapping[str, Use], server: Server, others: float) -> Json:
    """The figures of one cluster size.

    Args:
        nodes: number of nodes.
        pods: number of pods.
        uses: of each program by its title.
        server: the control plane.
        others: cores that other processes or the hypervisor used meanwhile.
    """
    return {
        "nodes": nodes,
        "pods": pods,
        "minutes": round(min(use.seconds for use in uses.values()) / 60, 2),
        "programs": {name: program(use) for name, use in uses.items()},
        "api_server": asdict(server) | {"more_m": round(server.with_m - server.without_m, 1)},
        "other_cores": round(others, 2),
    }


def table(sizes: list[Json]) -> Iterator[tuple[str, ...]]:
    """The lines of the table. The last cell is MISSED where a target is missed."""
    for found in sizes:
        nodes = f"{found['nodes']:,}"
        for name, figures in found["programs"].items():
            for key, target in TARGETS.items():
                state = MISSED if figures[key] > target else ""
                yield nodes, name, _TITLES[key], f"{figures[key]:g}", f"≤ {target:g}" if target else "0", state
        server = found["api_server"]
        change = f"{server['with_m']:g} − {server['without_m']:g}"
        yield nodes, "API server", f"CPU, milli-cores more ({change})", f"{server['more_m']:g}", "", ""


def markdown(sizes: list[Json]) -> str:
    """The table for docs/benchmarks.md."""
    head = ["nodes", "", *_TITLES.values()]
    targets = ["target", "each", *(f"≤ {target:g}" if target else "0" for target in TARGETS.values())]
    lines = [head, ["---"] * len(head), targets]
    for found in sizes:
        for name, figures in found["programs"].items():
            cells = (_cell(figures[key], target) for key, target in TARGETS.items())
            lines.append([f"{found['nodes']:,}", name, *cells])
        server = found["api_server"]
        change = f"{server['more_m']:g} more ({server['without_m']:g} without us)"
        lines.append([f"{found['nodes']:,}", "API server", change, *[""] * (len(TARGETS) - 1)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(figure: float, target: float) -> str:
    return f"{figure:g}" + (" (missed)" if figure > target else "")


def missed(sizes: list[Json]) -> list[str]:
    """The missed targets, in words."""
    return [f"{nodes} nodes, {name}: {figure}" for nodes, name, figure, *_, state in table(sizes) if state]
