"""Own writes on top of lagging watches."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from moorage.cluster.caches import Latest
from moorage.objects import ObjectMeta, Pod
from tests.unit.cluster.told import Told, fit_caches

KEY = "ns/p1"


def pod(name: str = "p1", *, uid: str = "u1", version: str = "") -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=uid, resource_version=version))


@pytest.fixture
def cache() -> Told:
    return cast("Told", fit_caches().pods)


def test_what_we_wrote_counts_until_the_watch_has_caught_up(cache: Told) -> None:
    latest: Latest[Any] = Latest(cache)
    cache.put(pod(), 5)
    old = cache.get(KEY)
    assert old is not None
    written = msgspec.structs.replace(old, metadata=msgspec.structs.replace(old.metadata, resource_version="10"))
    latest.wrote(written)
    assert latest.get(KEY) is written
    cache.put(old, 9)
    assert latest.get(KEY) is written
    cache.put(old, 11)
    assert latest.get(KEY) is cache.get(KEY)


def test_what_we_created_is_there_before_the_watch_shows_it_and_gone_when_it_was_deleted_since(cache: Told) -> None:
    latest: Latest[Any] = Latest(cache)
    made = pod(version="7")
    latest.wrote(made)
    assert latest.get(KEY) is made
    cache.put(pod("p2"), 8)  # the watch has passed our write and does not have it: somebody deleted it
    assert latest.get(KEY) is None


def test_what_we_deleted_is_gone_and_a_successor_of_its_name_is_not(cache: Told) -> None:
    latest: Latest[Any] = Latest(cache)
    cache.put(pod(), 3)
    latest.deleted(KEY, "u1")
    assert latest.get(KEY) is None
    cache.put(pod(uid="new"), 4)
    successor = latest.get(KEY)
    assert successor is not None
    assert successor.metadata.uid == "new"
