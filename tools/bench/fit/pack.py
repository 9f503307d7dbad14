"""One packing by `moorage.scheduling` in its own process: reads the data, prints the figures as one line of JSON."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from moorage.objects import CsiNode, Node, PersistentVolume, PersistentVolumeClaim, Pod
from moorage.objects.base import KubeObject
from moorage.scheduling import Fit, Snapshot

KINDS: dict[str, type[KubeObject]] = {
    "nodes": Node,
    "csinodes": CsiNode,
    "persistentvolumeclaims": PersistentVolumeClaim,
    "persistentvolumes": PersistentVolume,
}
_CHUNK = 2000


def main() -> int:
    """Pack, then build the resulting snapshot again. The folder is the only argument."""
    folder = Path(sys.argv[1])
    snapshot = Snapshot()
    load(snapshot, folder)
    assignments, packing = pack(snapshot, folder)
    figures: dict[str, Any] = {"us_per_pod": packing, "rss_mib": resident_mib(), "sizes": snapshot.sizes()}
    figures |= one_pod(snapshot, folder) | excluding(snapshot, folder)
    del snapshot
    gc.collect()
    figures["build_s"] = rebuild(folder, assignments)
    print(json.dumps(figures | {"assignments": assignments}))
    return 0


def load(snapshot: Snapshot, folder: Path) -> float:
    """Load all objects except pods. Returns the seconds without decoding."""
    spent = 0.0
    for plural, kind in KINDS.items():
        for things in chunks(folder / f"{plural}.jsonl", kind):
            began = time.perf_counter()
            for thing in things:
                snapshot.apply(thing)
            spent += time.perf_counter() - began
    return spent


def pack(snapshot: Snapshot, folder: Path) -> tuple[list[str], float]:
    """Decide and place one pod after the other. The time excludes decoding.

    Returns:
        The node of each pod ("" if none fits), and microseconds per pod.
    """
    assignments: list[str] = []
    spent = 0.0
    for pods in chunks(folder / "pods.jsonl", Pod):
        began = time.perf_counter()
        for pod in pods:
            node = snapshot.first_fit(pod)
            if node is not None:
                snapshot.place(pod, node)
            assignments.append(node or "")
        spent += time.perf_counter() - began
    return assignments, spent / max(1, len(assignments)) * 1e6


def one_pod(snapshot: Snapshot, folder: Path) -> dict[str, float]:
    """Evaluate one pod against every node: all at once, and node by node with every reason."""
    pods = next(chunks(folder / "pods.jsonl", Pod))[:40]
    names = list(snapshot.nodes.slots)
    with snapshot.trial():
        for pod in pods:
            snapshot.remove(pod.key)
        for pod in pods:
            snapshot.fits(pod)
        began = time.perf_counter()
        fitting = [int(snapshot.fits(pod).sum()) for pod in pods]
        at_once = time.perf_counter() - began
        began = time.perf_counter()
        singly = [sum(snapshot.verdict(pod, name).fit is Fit.YES for name in names) for pod in pods]
        one_by_one = time.perf_counter() - began
    assert fitting == singly, "fits and verdict differ"
    return {
        "one_pod_all_nodes_us": at_once / len(pods) * 1e6,
        "one_pod_all_reasons_ms": one_by_one / len(pods) * 1e3,
    }


def excluding(snapshot: Snapshot, folder: Path) -> dict[str, float]:
    """Exclude nodes: by a mask in the query, and by cordoning each, which changes all spread counts."""
    pods = next(chunks(folder / "pods.jsonl", Pod))[:40]
    names = list(snapshot.nodes.slots)[:40]
    with snapshot.trial():
        for pod in pods:
            snapshot.remove(pod.key)
            snapshot.fits(pod)
        began = time.process_time()
        barred = snapshot.slots_of(names)
        for pod in pods:
            snapshot.fits(pod, barred=barred)
        by_mask = time.process_time() - began
        began = time.process_time()
        for name in names:
            node = snapshot.nodes.record(snapshot.nodes.slots[name]).node
            snapshot.add_node(
                msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, unschedulable=True))
            )
        by_cordon = time.process_time() - began
        assert not any(snapshot.fits(pod)[barred].any() for pod in pods if not pod.spec.tolerations)
    return {
        "one_pod_barred_nodes_us": by_mask / len(pods) * 1e6,
        "cordoning_a_node_ms": by_cordon / len(names) * 1e3,
    }


def rebuild(folder: Path, assignments: list[str]) -> float:
    """Build a snapshot of the packed cluster, as after a restart. Returns seconds without decoding."""
    snapshot = Snapshot()
    spent = load(snapshot, folder)
    nodes = iter(assignments)
    for pods in chunks(folder / "pods.jsonl", Pod):
        bound = [
            msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=node))
            for pod, node in zip(pods, nodes, strict=False)
        ]
        began = time.perf_counter()
        for pod in bound:
            snapshot.apply(pod)
        spent += time.perf_counter() - began
    return spent


def chunks(path: Path, kind: type[KubeObject]) -> Iterator[list[Any]]:
    """Decode a file of JSON lines in chunks, so that it does not affect the memory figure."""
    decoder = msgspec.json.Decoder(kind)
    piece = []
    with path.open("rb") as lines:
        for line in lines:
            piece.append(decoder.decode(line))
            if len(piece) == _CHUNK:
                yield piece
                piece = []
    yield piece


def resident_mib() -> float:
    """Resident memory of this process now, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    raise SystemExit(main())
