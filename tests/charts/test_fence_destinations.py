"""The policies for the evictor's account and slot reservations: it can only write its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.fenced import MERGE, Installation, at, installed, is_fenced
from tests.charts.rendering import EVICTOR
from tests.charts.test_fence_evictor import ACTS, careless, said
from tests.kube.pinning import define
from tools.localcluster import ClusterHandle

pytestmark = pytest.mark.cluster

SLOTS = "/apis/moorage.dev/v1alpha1/slotreservations"
OWN_NAME = "the evictor reserves slots in its own name"
OTHERS = "the evictor changes and deletes no slot reservations of others"
BARE = "neither finalizers nor owners"
__all__ = ["careless"]  # a fixture


@pytest.fixture(scope="module")
def it(cluster: ClusterHandle) -> Iterator[Installation]:
    """The chart without its program, a reservation of its own, and one of another installation."""
    define(cluster, "slotreservations")
    with installed(cluster, EVICTOR, ACTS) as found:
        found.admin.request("POST", SLOTS, reservation(found, "ours", by=ours(found)))
        found.admin.request("POST", SLOTS, reservation(found, "theirs", by="elsewhere/castai-evictor"))
        end = time.monotonic() + 60
        while not is_fenced(found.api, "POST", f"{SLOTS}?dryRun=All", reservation(found, "made", by="nobody/else")):
            assert time.monotonic() < end, "waited 60 s for the policy"
            time.sleep(0.3)
        yield found
        for name in ("ours", "theirs"):
            found.admin.request("DELETE", f"{SLOTS}/{at(found, name)}")


def ours(it: Installation) -> str:
    """Whose its reservations are."""
    return f"{it.namespace}/{EVICTOR}"


def reservation(it: Installation, name: str, *, by: str, **metadata: Any) -> dict[str, Any]:
    """A reservation for a node."""
    owner = {"kind": "Deployment", "namespace": "shop", "name": "web"}
    times = {"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:03:00Z"}
    spec = {"nodeUID": "u", "by": by, **times, "slots": [{"owner": owner, "count": 1}]}
    made = {"metadata": {"name": at(it, name), **metadata}, "spec": spec}
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "SlotReservation", **made}


def test_what_the_evictor_does_is_allowed(it: Installation) -> None:
    later = {"spec": {"until": "2026-01-31T12:05:00Z", "slots": []}}
    made = reservation(it, "made", by=ours(it))
    assert said(it.api, "POST", f"{SLOTS}?dryRun=All", made) == ""
    assert said(it.api, "PATCH", f"{SLOTS}/{at(it, 'ours')}?dryRun=All", later, MERGE) == ""
    assert said(it.api, "DELETE", f"{SLOTS}/{at(it, 'ours')}?dryRun=All") == ""


def test_nothing_is_reserved_in_the_name_of_others_and_nothing_of_others_is_touched(it: Installation) -> None:
    theirs = f"{SLOTS}/{at(it, 'theirs')}?dryRun=All"
    for by in ("elsewhere/castai-evictor", f"{ours(it)}x", it.namespace):
        assert OWN_NAME in said(it.api, "POST", f"{SLOTS}?dryRun=All", reservation(it, "made", by=by))
    renamed = {"spec": {"by": "elsewhere/castai-evictor"}}
    assert OWN_NAME in said(it.api, "PATCH", f"{SLOTS}/{at(it, 'ours')}?dryRun=All", renamed, MERGE)
    assert OTHERS in said(it.api, "PATCH", theirs, {"spec": {"by": ours(it)}}, MERGE)
    assert OWN_NAME in said(it.api, "PATCH", theirs, {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert OTHERS in said(it.api, "DELETE", theirs)


def test_nothing_holds_them_and_nothing_goes_with_them(it: Installation) -> None:
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": it.namespace, "uid": "u"}
    for metadata in ({"finalizers": ["example.com/stays"]}, {"ownerReferences": [owner]}):
        assert BARE in said(it.api, "POST", f"{SLOTS}?dryRun=All", reservation(it, "made", by=ours(it), **metadata))


def test_their_status_is_the_pinners(it: Installation) -> None:
    path = f"{SLOTS}/{at(it, 'ours')}/status"
    answer = said(it.api, "PATCH", path, {"status": {"served": {"generation": 1}}}, MERGE)
    assert "slotreservations/status" in answer


def test_not_all_are_deleted_at_once(it: Installation) -> None:
    assert "deletecollection" in said(it.api, "DELETE", f"{SLOTS}?labelSelector=none%3Dthere")


def test_no_status_is_written_whatever_is_granted(careless: Installation) -> None:
    mine = reservation(careless, "ours", by=ours(careless))
    careless.admin.request("POST", SLOTS, mine)
    try:
        path = f"{SLOTS}/{at(careless, 'ours')}/status"
        answer = said(careless.api, "PATCH", path, {"status": {"served": {"generation": 1}}}, MERGE)
        assert "the evictor writes no status of a SlotReservation" in answer
    finally:
        careless.admin.request("DELETE", f"{SLOTS}/{at(careless, 'ours')}")
