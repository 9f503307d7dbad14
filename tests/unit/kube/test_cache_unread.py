"""Subscribers learn of unreadable objects, and when they are readable again. A failing subscriber affects no other."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from moorage.kube.cache import Change
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import Node, Pod
from tests.unit.kube.hostile import Following, HostileServer, eventually, following, hostile

ODD = {"nodeName": "n1", "tolerations": "none"}


class Listener:
    """Records unreadable objects, and the order of calls."""

    def __init__(self) -> None:
        self.unread: dict[str, Unreadable[Pod]] = {}
        self.told: list[str] = []

    def __call__(self, change: Change[Pod]) -> None:
        self.told.append(f"{change.kind.value} {change.object.key}")

    def hear(self, key: str, item: Unreadable[Pod] | None) -> None:
        self.told.append(f"{'readable' if item is None else 'unreadable'} {key}")
        if item is None:
            del self.unread[key]
        else:
            self.unread[key] = item


def spoil(server: HostileServer, name: str) -> None:
    server.store.put(name)["spec"] = ODD
    server.changed()


@pytest.mark.parametrize("relisted", [False, True], ids=["watch", "list"])
async def test_what_can_be_read_is_told_and_when_all_can_again(relisted: bool) -> None:
    async with hostile() as server:
        server.store.put("a", node="n1")
        async with following(server) as f:
            await f.watching()
            heard, late = Listener(), Listener()
            f.cache.subscribe(heard, unread=heard.hear)
            await _change(server, f, relisted, lambda: spoil(server, "a"), lambda: spoil(server, "b"))
            await eventually(lambda: heard.unread.keys() == {"ns/a", "ns/b"})
            f.cache.subscribe(late, unread=late.hear)
            assert late.unread == heard.unread
            item = heard.unread["ns/a"]
            assert (item.rest.spec.node_name, item.fields, item.refused) == ("n1", ("spec.tolerations",), False)
            assert item.lacks("spec")
            assert item.lacks("spec.tolerations.key")
            assert not item.lacks("spec.nodeName")

            def mend() -> None:
                server.store.put("a", node="n1")
                server.changed()

            def remove() -> None:
                server.store.delete("b")
                server.changed()

            await _change(server, f, relisted, mend, remove)
            await eventually(lambda: not heard.unread)
            assert heard.told.index("MODIFIED ns/a") < heard.told.index("readable ns/a")
            assert f.cache.unreadable == {}
            await f.watching()


async def _change(server: HostileServer, f: Following, relisted: bool, *changes: Any) -> None:
    """Let the changes come by the watch, or by a new list."""
    if not relisted:
        for change in changes:
            change()
        return
    await server.stop()
    for change in changes:
        change()
    server.store.compact()
    await server.start()


async def test_what_is_as_it_was_before_it_could_not_be_read_is_no_change() -> None:
    """A server with a restored backup notifies only subscribers that learned of an unreadable object."""
    async with hostile() as server:
        before = server.store.put("a", node="n1")
        async with following(server) as f:
            await f.watching()
            heard = Listener()
            f.cache.subscribe(heard, unread=heard.hear)
            spoil(server, "a")
            await eventually(lambda: heard.unread)
            known = f.cache.get("ns/a")
            assert known is not None
            f.cache._store(known)
            assert heard.told == ["ADDED ns/a", "unreadable ns/a", "readable ns/a"]
            assert before["metadata"]["resourceVersion"] == known.metadata.resource_version
            server.store.put("a", node="n1")
            server.changed()
            await f.watching()


async def test_an_unreadable_object_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        for _ in range(5):
            spoil(server, "a")
        await eventually(lambda: f.cache.resource_version == str(server.store.version))
        said = [r for r in caplog.records if r.message.startswith("object could not be read")]
        assert [vars(r)["object"] for r in said] == ["ns/a"]
        server.store.delete("a")
        server.changed()
        await f.watching()


async def test_a_subscriber_that_fails_is_told_so_and_asked_ever_less_often(caplog: pytest.LogCaptureFixture) -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        heard, tried, calm = Listener(), list[str](), Listener()
        well = False

        def fails(change: Change[Pod]) -> None:
            heard(change)
            tried.append(change.object.metadata.resource_version)
            if change.object.metadata.name == "poison" and not well:
                raise RuntimeError("no")

        f.cache.subscribe(fails, unread=heard.hear)
        f.cache.subscribe(calm, unread=calm.hear)
        for _ in range(20):
            server.store.put("poison", node="n1")
            server.changed()
            await f.caught_up()
        assert tried == ["101", "103", "106", "111", "120"]
        item = heard.unread["ns/poison"]
        assert item.rest.spec.node_name == "n1"
        assert item.lacks("metadata.labels")
        assert item.lacks("spec.containers")
        assert f.cache.unreadable == {"ns/poison": "RuntimeError: no"}
        assert (len(calm.told), calm.unread) == (20, {})
        failures = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert [vars(r)["object"] for r in failures] == ["ns/poison"]

        well = True
        server.store.put("other")
        server.store.delete("poison")
        server.changed()
        await f.caught_up()
        assert heard.unread == {}
        assert f.cache.unreadable == {}
        server.store.put("poison", node="n2")
        server.changed()
        await f.caught_up()
        assert heard.told[-1] == "ADDED ns/poison"


async def test_who_fails_over_a_deletion_is_told_that_it_was_done_by_halves() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        items: list[tuple[str, bool | None]] = []

        def fails(change: Change[Pod]) -> None:
            if change.new is None:
                raise RuntimeError("no")

        f.cache.subscribe(fails, unread=lambda key, item: items.append((key, item.refused if item else None)))
        server.store.put("a")
        server.store.delete("a")
        server.changed()
        await eventually(lambda: len(items) == 2)
        assert items == [("ns/a", True), ("ns/a", None)]
        assert f.cache.unreadable == {}


def test_an_outline_is_names_and_node_and_says_what_is_missing() -> None:
    found, missing = outline(Node())
    assert found == Node()
    assert {"metadata.labels", "spec", "status"} <= set(missing)
