"""The checks of ``task faults:evict``: each finds its fault, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import msgspec

from moorage.drain import Mark as Drained
from moorage.drain import Phase
from moorage.drain import names as marks
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from moorage.reservations import moment
from tests.unit.evictor.service.held import hide, show
from tools.auditlog import Mark
from tools.faults import evict
from tools.faults.seen import Seen
from tools.faults.shop import ACCOUNT, US

WEB = {"web": 2}
SINCE = moment("2026-01-01T12:00:00Z")


def seen() -> Seen:
    """Somebody who watches pods that the test shows."""
    found = Seen(cast("Transport", None), WEB)
    found._pods.subscribe(found._on_pod)
    found._nodes.subscribe(found._on_node)
    return found


def pod(name: str, node: str = "n1", *, ready: bool = True, leaves: bool = False) -> Pod:
    meta: dict[str, Any] = {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}}
    if leaves:
        meta["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": node}, "status": status}, Pod)


def node(*, cordoned: bool, mark: Drained | None = None) -> Node:
    annotations = {marks.DRAIN_ANNOTATION: marks.written(mark)} if mark is not None else {}
    meta = {"name": "n1", "uid": "n1", "annotations": annotations}
    return msgspec.convert({"metadata": meta, "spec": {"unschedulable": cordoned}}, Node)


def drained(phase: Phase, *, cordoned: bool) -> Drained:
    assert SINCE is not None
    return Drained(US, "1", phase, SINCE, tainted=True, cordoned=cordoned)


def test_whoever_takes_an_app_under_its_floor_is_named() -> None:
    watch = seen()
    for name in ("a", "b", "c"):
        show(watch._pods, pod(name))
    show(watch._pods, pod("a", leaves=True))
    assert watch.wrong == []
    show(watch._pods, pod("b", ready=False))
    assert watch.wrong == ["web had 1 Ready pods without shop/b, fewer than 2"]
    hide(watch._pods, "shop/a")
    assert len(watch.wrong) == 1, "it had left already"


def test_a_node_that_was_killed_takes_its_own_pods_along_and_excuses_nobody_else() -> None:
    watch = seen()
    watch.dead = "n2"
    for name, on in (("a", "n1"), ("b", "n2"), ("c", "n2")):
        show(watch._pods, pod(name, on))
    show(watch._pods, pod("b", "n2", ready=False))
    show(watch._pods, pod("c", "n2", leaves=True))
    assert watch.wrong == []
    show(watch._pods, pod("a", leaves=True))
    assert watch.wrong == ["web had 0 Ready pods without shop/a, fewer than 2"]


def test_a_cordon_that_no_mark_explains_is_seen_in_any_revision() -> None:
    watch = seen()
    show(watch._nodes, node(cordoned=True, mark=drained(Phase.DRAINING, cordoned=True)))
    show(watch._nodes, node(cordoned=False, mark=drained(Phase.EMPTIED, cordoned=False)))
    assert (watch.wrong, watch.drained) == ([], {"n1"})
    show(watch._nodes, node(cordoned=True, mark=drained(Phase.EMPTIED, cordoned=False)))
    assert len(watch.wrong) == 1


def test_a_pod_that_was_evicted_is_not_asked_to_go_again(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.touch()
    place = Mark.now(log)

    def asked(name: str, code: int, who: str = ACCOUNT) -> str:
        reference = {"resource": "pods", "subresource": "eviction", "name": name}
        event = {"stage": "ResponseComplete", "user": {"username": who}, "objectRef": reference}
        return json.dumps({**event, "responseStatus": {"code": code}}) + "\n"

    good = [
        asked("a", 429),
        asked("a", 201),
        asked("b", 500),
        asked("b", 201),
        asked("c", 201),
        asked("c", 201, "admin"),
    ]
    log.write_text("".join(good) + '{"stage": "Resp')
    assert list(evict._twice(place)) == []
    log.write_text("".join([*good, asked("a", 201), asked("b", 404)]))
    assert list(evict._twice(place)) == [
        "pod a was evicted, and evicted or deleted 1 times more",
        "pod b was evicted, and evicted or deleted 1 times more",
    ]
