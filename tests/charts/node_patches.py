"""Patches of a Node: those of an attacker with the evictor's token, with what refuses them, and those of a drain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moorage.drain import names
from moorage.drain.names import Mark, Phase
from tests.charts.fenced import ROLE

KEY = "moorage.dev/drain"
SOFT = {"key": "evictor.cast.ai/evicted", "value": "true", "effect": "PreferNoSchedule"}
DEDICATED = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-0000-0000-000000000000"}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def mark(phase: Phase, *, tainted: bool = True, cordoned: bool = False, reason: str = "") -> dict[str, str]:
    """The annotation as a drain writes it."""
    return {KEY: names.written(Mark("castai-agent/castai-evictor", "c-1", phase, NOW, tainted, cordoned, reason))}


CHOSEN = mark(Phase.CHOSEN)
DRAINING = mark(Phase.DRAINING, cordoned=True)
EMPTIED = mark(Phase.EMPTIED)
BACK = mark(Phase.ROLLED_BACK, tainted=False, reason="the API server does not answer")


def labelled(value: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"pool": value}}}


ANNOTATIONS = "the evictor changes no annotation of a Node but moorage.dev/drain"
METADATA = "the evictor changes no labels, ownerReferences or finalizers of a Node"
SPEC = "the evictor changes nothing in a Node's spec but its taint and the cordon"
TAINTS = "the evictor sets and removes no taint but evictor.cast.ai/evicted, effect PreferNoSchedule"
CORDON = "the evictor cordons a Node only together with its mark"
THEIRS = "is not marked as ours: the evictor leaves it where it is"
CALLED = "calls a cordon its own only with the write that sets it"
TOGETHER = "a cordon of the evictor goes with its mark: neither is taken away alone"

Change = Callable[[dict[str, Any]], dict[str, Any]]


def write(
    annotations: dict[str, Any] | None = None, *, cordon: bool | None = None, taint: bool | None = None
) -> Change:
    """A patch of the kind that a drain sends; a cordon of False takes one off."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        spec: dict[str, Any] = {} if cordon is None else {"unschedulable": cordon or None}
        if taint is not None:
            spec["taints"] = [*others(found), *([SOFT] if taint else [])]
        return {"metadata": {"annotations": annotations or {}}, "spec": spec}

    return change


def others(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The taints of a Node that are not Moorage's, those of controllers included."""
    return [each for each in found["spec"].get("taints", ()) if each["key"] != SOFT["key"]]


def tainted(*more: dict[str, str], without: str = "") -> Change:
    """A patch of taints."""
    return lambda found: {"spec": {"taints": [*(each for each in others(found) if each["key"] != without), *more]}}


def plain(**body: Any) -> Change:
    """A patch that depends on nothing."""
    return lambda _: body


def annotated(text: str | None, **spec: Any) -> Change:
    """A patch of the mark, whatever it says, and of the spec."""
    return plain(metadata={"annotations": {KEY: text}}, spec=spec)


FORGED = '{"by":"x","cycle":"c","phase":"draining","since":"2026-01-31T12:00:00+00:00","set": ["cordon"]}'
ESCAPED = FORGED.replace(' ["cordon"]', r'["\u0063ordon"]')
WORDS = mark(Phase.DRAINING, reason='the "set":["taint","cordon"] is a word')[KEY]

CHANGES: dict[str, tuple[str, str, Change]] = {
    "a label": ("worker", METADATA, plain(**labelled("y"))),
    "a new label": ("worker", METADATA, plain(metadata={"labels": {"moorage.dev/drain": "x"}})),
    "a label taken away": ("worker", METADATA, plain(metadata={"labels": {"pool": None}})),
    "all labels taken away": ("worker", METADATA, plain(metadata={"labels": None})),
    "a role": ("worker", METADATA, plain(metadata={"labels": ROLE})),
    "an owner that is gone": ("worker", METADATA, plain(metadata={"ownerReferences": [OWNER]})),
    "a finalizer": ("worker", METADATA, plain(metadata={"finalizers": ["example.com/stay"]})),
    "owners taken away": ("owned", METADATA, plain(metadata={"ownerReferences": None})),
    "finalizers taken away": ("owned", METADATA, plain(metadata={"finalizers": None})),
    "a label beside the mark": ("ours", METADATA, plain(metadata={"annotations": DRAINING, "labels": {"a": "b"}})),
    "another annotation": ("worker", ANNOTATIONS, write({"moorage.dev/price-per-hour": "0"})),
    "another annotation beside the mark": ("worker", ANNOTATIONS, write({**CHOSEN, "x": "y"})),
    "an annotation changed": ("worker", ANNOTATIONS, write({"a": "c"})),
    "an annotation taken away": ("worker", ANNOTATIONS, write({"a": None})),
    "all annotations taken away": ("worker", ANNOTATIONS, plain(metadata={"annotations": None})),
    "a provider id": ("worker", SPEC, plain(spec={"providerID": "x://y"})),
    "pod addresses": ("worker", SPEC, plain(spec={"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]})),
    "a provider id beside a cordon": ("worker", SPEC, annotated(DRAINING[KEY], unschedulable=True, providerID="x://y")),
    "a taint that evicts": ("worker", TAINTS, tainted({"key": "x", "effect": "NoExecute"})),
    "our taint as one that evicts": ("worker", TAINTS, tainted({**SOFT, "effect": "NoExecute"})),
    "our taint as one that keeps out": ("worker", TAINTS, tainted({**SOFT, "effect": "NoSchedule"})),
    "another taint that only prefers": ("worker", TAINTS, tainted({**SOFT, "key": "evictor.cast.ai/evicte"})),
    "another taint beside ours": ("worker", TAINTS, tainted(SOFT, {"key": "x", "effect": "NoSchedule"})),
    "a taint taken away": ("worker", TAINTS, tainted(SOFT, without="dedicated")),
    "a taint with another value": ("worker", TAINTS, tainted({**DEDICATED, "value": "x"}, without="dedicated")),
    "all taints taken away": ("worker", TAINTS, plain(spec={"taints": None})),
    "a cordon": ("worker", CORDON, write(cordon=True)),
    "a cordon with the taint": ("worker", CORDON, write(cordon=True, taint=True)),
    "a cordon with a mark of the taint": ("worker", CORDON, write(CHOSEN, cordon=True, taint=True)),
    "a cordon with a mark that means it": ("worker", CORDON, annotated(FORGED, unschedulable=True)),
    "a cordon with a mark that hides it": ("worker", CORDON, annotated(ESCAPED, unschedulable=True)),
    "a cordon with a mark that talks of it": ("worker", CORDON, annotated(WORDS, unschedulable=True)),
    "a cordon with a mark of nothing": ("worker", CORDON, annotated("cordon", unschedulable=True)),
    "a mark of a cordon that is not there": ("worker", CALLED, write(DRAINING)),
    "theirs: an uncordon": ("theirs", THEIRS, write(cordon=False)),
    "theirs: an uncordon, said otherwise": ("theirs", THEIRS, plain(spec={"unschedulable": False})),
    "theirs: an uncordon that is called ours": ("theirs", THEIRS, write(DRAINING, cordon=False)),
    "theirs: an uncordon as at the end of a drain": ("theirs", THEIRS, write(BACK, cordon=False)),
    "theirs: called ours": ("theirs", CALLED, write(DRAINING)),
    "theirs: called ours by setting it again": ("theirs", CALLED, write(DRAINING, cordon=True)),
    "chosen: an uncordon": ("chosen", THEIRS, write(EMPTIED, cordon=False)),
    "chosen: called ours": ("chosen", CALLED, write(DRAINING)),
    "ours: its mark taken away": ("ours", TOGETHER, write({KEY: None})),
    "ours: a mark that forgets the cordon": ("ours", TOGETHER, write(BACK)),
    "ours: an uncordon without a word": ("ours", CALLED, write(cordon=False)),
    "worker: the taint and the mark": ("worker", "", write(CHOSEN, taint=True)),
    "worker: the mark": ("worker", "", write(CHOSEN)),
    "worker: a cordon with its mark": ("worker", "", write(DRAINING, cordon=True, taint=True)),
    "theirs: the taint and the mark": ("theirs", "", write(CHOSEN, taint=True)),
    "ours: emptied": ("ours", "", write(EMPTIED, cordon=False, taint=True)),
    "ours: rolled back": ("ours", "", write(BACK, cordon=False, taint=False)),
    "ours: as it is, with another reason": (
        "ours",
        "",
        write(mark(Phase.DRAINING, tainted=False, cordoned=True, reason='a "quoted" word')),
    ),
    "emptied: handed back": ("emptied", "", write(BACK, taint=False)),
    "owned: a cordon with its mark": ("owned", "", write(DRAINING, cordon=True, taint=True)),
}

DIRECTIVES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "taints replaced": ("worker", TAINTS, {"spec": {"taints": [SOFT]}}),
    "the spec replaced": ("worker", TAINTS, {"spec": {"$patch": "replace", "unschedulable": False}}),
    "annotations replaced": ("worker", ANNOTATIONS, {"metadata": {"annotations": {"$patch": "replace", **CHOSEN}}}),
    "labels deleted": ("worker", METADATA, {"metadata": {"labels": {"$patch": "delete"}}}),
    "a finalizer deleted": (
        "owned",
        METADATA,
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/theirs"]}},
    ),
    "owners replaced": ("owned", METADATA, {"metadata": {"ownerReferences": [{"$patch": "replace"}]}}),
}

PLACES = {
    "all taints": ("worker", TAINTS, {"op": "remove", "path": "/spec/taints"}),
    "their cordon": ("theirs", THEIRS, {"op": "remove", "path": "/spec/unschedulable"}),
    "their annotation": ("worker", ANNOTATIONS, {"op": "remove", "path": "/metadata/annotations/a"}),
    "their label": ("worker", METADATA, {"op": "replace", "path": "/metadata/labels/pool", "value": "y"}),
    "our mark": ("ours", TOGETHER, {"op": "remove", "path": "/metadata/annotations/moorage.dev~1drain"}),
}
