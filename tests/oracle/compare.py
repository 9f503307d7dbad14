"""One case, with the verdicts of Moorage and of kube-scheduler's own plugins."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from moorage.objects import (
    CsiNode,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    StorageClass,
    VolumeAttachment,
)
from moorage.objects.base import KubeObject
from moorage.scheduling import Fit, Snapshot, Verdict, stored

Case = dict[str, Any]
Judged = dict[str, dict[str, Any]]
"""Pod to node to {"fit", "plugins"} (oracle) or {"fit", "plugins", "unknown"} (ours)."""

KINDS: dict[str, type[KubeObject]] = {
    "namespaces": Namespace,
    "persistentvolumes": PersistentVolume,
    "persistentvolumeclaims": PersistentVolumeClaim,
    "storageclasses": StorageClass,
    "csinodes": CsiNode,
    "volumeattachments": VolumeAttachment,
    "nodes": Node,
    "pods": Pod,
}
T = TypeVar("T")
_VOLUME_PLUGINS = {"VolumeBinding", "VolumeZone", "VolumeRestrictions", "NodeVolumeLimits"}


def decode(thing: dict[str, Any], kind: type[T]) -> T:
    return msgspec.json.decode(json.dumps(thing), type=kind)


def things(case: Case) -> list[KubeObject]:
    return [decode(thing, kind) for plural, kind in KINDS.items() for thing in case["objects"].get(plural, ())]


def pending(case: Case) -> list[Pod]:
    return [decode(pod, Pod) for pod in case["pending"]]


def request(case: Case) -> dict[str, Any]:
    """The part of a case that the oracle reads."""
    return {"objects": case["objects"], "pending": case["pending"]}


def build(case: Case, shuffle: int | None = None) -> Snapshot:
    """A snapshot of the case; with ``shuffle`` the news comes in any order, and a simulation has been undone."""
    waiting = [pod for pod in pending(case) if pod.status.nominated_node_name and not pod.spec.node_name]
    found = [*things(case), *waiting]
    snapshot = Snapshot(nominated=True)
    if shuffle is None:
        for thing in found:
            snapshot.apply(thing)
        return snapshot
    chance = random.Random(shuffle)
    chance.shuffle(found)
    asked = pending(case)
    for place, thing in enumerate(found):
        if chance.random() < 0.3:
            snapshot.apply(earlier(thing))
        snapshot.apply(thing)
        if chance.random() < 0.2:
            snapshot.fits(chance.choice(asked))
        if chance.random() < 0.05:
            snapshot.sweep()
        if chance.random() < 0.1:
            other = chance.choice(found[: place + 1])
            snapshot.delete(type(other), other.key)
            snapshot.apply(other)
    with snapshot.trial():
        names = list(snapshot.nodes.slots)
        keys = [thing.key for thing in found if isinstance(thing, Pod) and snapshot.node_of(thing.key)]
        for pod in asked:
            snapshot.place(pod, chance.choice(names))
        for key in keys[:3]:
            snapshot.move(key, chance.choice(names))
        snapshot.remove_node(chance.choice(names))
        for key in keys[2:4]:
            snapshot.remove(key)
        for pod in asked:
            snapshot.fits(pod)
    return snapshot


def earlier(thing: KubeObject) -> KubeObject:
    """An earlier state of the same object: without labels, elsewhere, or not bound."""
    bare = msgspec.structs.replace(thing, metadata=msgspec.structs.replace(thing.metadata, labels={"app": "db"}))
    if isinstance(bare, Pod):
        return msgspec.structs.replace(bare, spec=msgspec.structs.replace(bare.spec, node_name="n1"))
    if isinstance(bare, PersistentVolumeClaim):
        return msgspec.structs.replace(bare, spec=msgspec.structs.replace(bare.spec, volume_name=""))
    if isinstance(bare, PersistentVolume):
        return msgspec.structs.replace(bare, spec=msgspec.structs.replace(bare.spec, csi=None))
    if isinstance(bare, CsiNode):
        return msgspec.structs.replace(bare, spec=type(bare.spec)())
    if isinstance(bare, Node):
        return msgspec.structs.replace(bare, spec=type(bare.spec)(unschedulable=True), status=type(bare.status)())
    return bare


def ours(case: Case, shuffle: int | None = None, *, created: bool = False) -> dict[str, dict[str, Verdict]]:
    """Our verdicts; checks on the way that the answer for all nodes is that for each of them.

    With ``created`` the pods are as a client sends them, not as the API server stores them.
    """
    snapshot = build(case, shuffle)
    if created:
        for thing in things(case):
            snapshot.apply(stored(thing) if isinstance(thing, Pod) else thing)
    names = [node["metadata"]["name"] for node in case["objects"]["nodes"]]
    judged = {}
    for asked in pending(case):
        pod = stored(asked) if created else asked
        verdicts = {name: snapshot.verdict(pod, name) for name in names}
        fitting = {name for name, verdict in verdicts.items() if verdict.fit is Fit.YES}
        assert set(snapshot.fitting(pod)) == fitting, f"fits and verdict differ for {pod.key}"
        at = {name for name in names if snapshot.fits_at(pod, snapshot.nodes.slots[name])}
        assert at == fitting, f"fits_at and verdict differ for {pod.key}"
        judged[pod.key] = verdicts
    return judged


def theirs(reply: dict[str, Any]) -> Judged:
    """The oracle's reply, reduced to the compared parts."""
    assert "error" not in reply, reply["error"]
    judged: Judged = {}
    for verdict in reply["verdicts"]:
        before = {status["plugin"] for status in verdict.get("prefilter_plugins") or ()}
        nodes = {}
        for name, node in verdict["nodes"].items():
            plugins = before | {status["plugin"] for status in node.get("plugins") or ()}
            if not node["fit"] and not plugins:
                plugins = set(node["plugin"].split(","))
            fit = node["fit"] and not verdict.get("cycle_error")
            nodes[name] = {"fit": fit, "plugins": sorted(plugins), "prefilter": sorted(before)}
            if verdict.get("cycle_error"):
                nodes[name]["cycle_error"] = verdict["cycle_error"]
        judged[verdict["pod"]] = nodes
    return judged


def disagreement(our: dict[str, dict[str, Verdict]], their: Judged) -> str | None:
    """The first difference, in words, or None.

    "Unknown" agrees with anything: what may be unknown is checked by the caller. The plugins that say no must be the
    same, the volume plugins counting as one where they object in PreFilter, all of them for the same cause.
    """
    for pod, nodes in their.items():
        for name, expected in nodes.items():
            verdict = our[pod][name]
            if verdict.fit is Fit.UNKNOWN:
                continue
            if (verdict.fit is Fit.YES) != expected["fit"]:
                return f"pod {pod}, node {name}: we say {verdict}; kube-scheduler says {expected}"
            sure, maybe, wanted = named(verdict, True), named(verdict, False), set(expected["plugins"])
            if set(expected["prefilter"]) & _VOLUME_PLUGINS:
                sure, maybe, wanted = merged(sure), merged(maybe), merged(wanted)
            if "cycle_error" not in expected and not sure <= wanted <= sure | maybe:
                return f"pod {pod}, node {name}: we say {verdict}; kube-scheduler says {expected}"
    return None


def harm(our: dict[str, dict[str, Verdict]], their: Judged) -> str | None:
    """The first pod that we would pin where kube-scheduler would not place it, in words, or None.

    This is what counts against a Kubernetes that is older than the one we follow: a "no" of ours leaves the pod to its
    scheduler.
    """
    for pod, nodes in their.items():
        for name, expected in nodes.items():
            if our[pod][name].fit is Fit.YES and not expected["fit"]:
                return f"pod {pod}, node {name}: we say yes; kube-scheduler says {expected}"
    return None


def named(verdict: Verdict, definite: bool) -> set[str]:
    return {finding.reason.plugin for finding in verdict.findings if finding.reason.definite == definite}


def merged(plugins: set[str]) -> set[str]:
    return plugins - _VOLUME_PLUGINS | ({"volumes"} if plugins & _VOLUME_PLUGINS else set())


def save(case: Case, their: Judged, name: str, story: str, folder: Path) -> Path:
    """Write a regression file: the case, kube-scheduler's verdict, and the reason for the file."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"story": story, **case, "expected": their}, indent=1, sort_keys=True) + "\n")
    return path
