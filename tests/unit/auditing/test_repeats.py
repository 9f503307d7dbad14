"""Requests that count as repeated for nothing: the rules one by one, and generated logs against a naive oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.auditing.repeats import Repeat, Request, repeated
from tools.auditlog.events import Event

US, THEM = "us", "them"
ASKED = Event(
    at=0.0,
    account=US,
    agent="moorage",
    verb="delete",
    group="",
    resource="nodes",
    subresource="",
    namespace="",
    name="a",
    code=200,
)


def every(seconds: float, times: int, since: float = 0.0, **changes: Any) -> list[Event]:
    return [replace(ASKED, at=since + seconds * index, **changes) for index in range(times)]


def found(events: list[Event], limit: int = 10, within: float = 10.0) -> list[Repeat]:
    return repeated(events, lambda event: event.account.startswith(US), limit, within)


def test_ten_within_ten_seconds_are_allowed_and_the_eleventh_is_not() -> None:
    assert found(every(0.5, 10)) == []
    (one,) = found(every(0.5, 11))
    assert (one.most, one.total, one.since, one.until) == (11, 11, 0.0, 5.0)


def test_a_request_a_second_is_allowed_for_ever() -> None:
    assert found(every(1.0, 600)) == []
    assert found(every(0.99, 600)) != []


def test_a_repeat_is_told_once_with_its_size_and_its_answers() -> None:
    refused = every(0.25, 5, since=40.0, code=409, agent="curl")
    (one,) = found(every(0.03125, 1000) + refused)
    assert one.request == Request(US, "delete", "", "nodes", "", "", "a")
    assert (one.most, one.total, one.since, one.until) == (320, 1005, 0.0, 41.0)
    assert one.codes == Counter({200: 1000, 409: 5})
    assert one.agents == Counter({"moorage": 1000, "curl": 5})


OTHER = {
    "another account of ours": {"account": "us too"},
    "another replica": {"pod": "castai-pod-pinner-b"},
    "another verb": {"verb": "patch"},
    "another group": {"group": "metrics.k8s.io"},
    "another kind": {"resource": "pods"},
    "a subresource": {"subresource": "status"},
    "another namespace": {"namespace": "n"},
    "another object": {"name": "b"},
}


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_what_differs_is_counted_apart_and_is_no_excuse(other: dict[str, Any]) -> None:
    assert found(every(0.1, 6) + every(0.1, 6, **other)) == []
    (one,) = found(every(0.1, 11) + every(0.1, 11, since=0.05, **{**other, "verb": "get"}))[:1]
    assert one.total == 11


CHANGES = {
    "an update": {"verb": "update"},
    "a patch": {"verb": "patch"},
    "a delete": {"verb": "delete"},
    "a create": {"verb": "create", "code": 201},
    "a subresource's write": {"verb": "patch", "subresource": "status"},
    "a deleted collection": {"verb": "deletecollection", "name": ""},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_by_somebody_else_begins_anew(change: dict[str, Any]) -> None:
    theirs = every(1.0, 1, since=0.55, account=THEM, **change)
    assert found(every(0.1, 12) + theirs) == []
    assert len(found(every(0.1, 30) + theirs)) == 1


NO_CHANGES = {
    "a read": {"verb": "get"},
    "a list": {"verb": "list", "name": ""},
    "a watch": {"verb": "watch", "name": ""},
    "a dry run": {"verb": "patch", "stored": False},
    "a refused write": {"verb": "patch", "code": 409},
    "a write that broke": {"verb": "patch", "code": 500},
    "another object's change": {"verb": "patch", "name": "b"},
    "another kind's collection": {"verb": "deletecollection", "resource": "pods", "name": ""},
    "a collection elsewhere": {"verb": "deletecollection", "namespace": "n", "name": ""},
    "a write of ours": {"verb": "patch", "account": "us too"},
}


@pytest.mark.parametrize("no_change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_changes_nothing_is_no_excuse(no_change: dict[str, Any]) -> None:
    theirs = every(1.0, 1, since=0.55, **{"account": THEM, **no_change})
    assert len(found(every(0.1, 12) + theirs)) == 1


def test_a_collection_of_all_namespaces_holds_every_object() -> None:
    ours = every(0.1, 12, resource="pods", namespace="n")
    assert (
        found(ours + every(1.0, 1, since=0.55, account=THEM, verb="deletecollection", resource="pods", name="")) == []
    )


def test_collections_are_no_objects_and_made_up_names_neither_unless_refused() -> None:
    for verb in ("list", "watch", "deletecollection"):
        assert found(every(0.1, 50, verb=verb, name="")) == []
        assert found(every(0.1, 50, verb=verb)) == []  # selected by name, it is a list all the same
    assert found(every(0.1, 50, verb="create", name="", code=201)) == []
    assert len(found(every(0.1, 50, verb="create", name="", code=403))) == 1


def test_others_may_ask_as_often_as_they_like() -> None:
    assert found(every(0.01, 500, account=THEM, verb="get")) == []


# --- against a naive oracle ---

EVENTS = st.lists(
    st.builds(
        Event,
        at=st.integers(0, 60).map(lambda tenth: tenth / 2),
        account=st.sampled_from([US, US, "us too", THEM]),
        agent=st.just("moorage"),
        verb=st.sampled_from(["get", "patch", "create", "list", "deletecollection"]),
        group=st.just(""),
        resource=st.just("pods"),
        subresource=st.sampled_from(["", "", "status"]),
        namespace=st.sampled_from(["n", "m"]),
        name=st.sampled_from(["a", "a", "a", "b", ""]),
        code=st.sampled_from([200, 200, 409]),
        stored=st.sampled_from([True, True, False]),
    ),
    max_size=60,
)


def naive(events: list[Event], limit: int, within: float) -> dict[Request, int]:
    """The largest number of each request within such a time without another client's change, if it is too large."""
    ordered = sorted(events, key=lambda event: event.at)
    worst: Counter[Request] = Counter()
    for begin, first in enumerate(ordered):
        if not asks(first):
            continue
        count = 0
        for event in ordered[begin:]:
            if event.at - first.at >= within or interrupts(event, first):
                break
            count += asks(event) and request(event) == request(first)
        worst[request(first)] = max(worst[request(first)], count)
    return {asked: count for asked, count in worst.items() if count > limit}


def asks(event: Event) -> bool:
    if event.account == THEM or event.verb in ("list", "deletecollection"):
        return False
    return event.name != "" or (event.verb == "create" and event.code == 409)


def interrupts(event: Event, first: Event) -> bool:
    if event.account != THEM or event.code != 200 or not event.stored or event.verb in ("get", "list"):
        return False
    same = (event.resource, event.namespace) == (first.resource, first.namespace)
    return same and (event.verb == "deletecollection" or event.name == first.name)


def request(event: Event) -> Request:
    return Request(
        event.account, event.verb, event.group, event.resource, event.subresource, event.namespace, event.name
    )


@given(events=EVENTS, limit=st.integers(1, 4), within=st.sampled_from([2.0, 5.0, 10.0]))
def test_generated_logs_are_judged_as_a_naive_reading_judges_them(
    events: list[Event], limit: int, within: float
) -> None:
    told = found(events, limit=limit, within=within)
    most: Counter[Request] = Counter()
    for repeat in told:
        assert repeat.total >= repeat.most > limit
        assert sum(repeat.codes.values()) == sum(repeat.agents.values()) == repeat.total
        most[repeat.request] = max(most[repeat.request], repeat.most)
    assert dict(most) == naive(events, limit, within)
