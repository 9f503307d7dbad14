"""The planner's Secrets: the first planner fills them once, and they are complete after any crash."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moorage.controller import certificates
from moorage.controller.certificates import State, Unusable
from moorage.kube import errors
from moorage.objects import ObjectMeta
from moorage.objects import Secret as SecretObject
from moorage.ops.configuration import SettingsError
from moorage.ops.secret import Secret
from moorage.planner import secrets
from moorage.planner.secrets import API_KEY, SecretController
from tests.unit.protocol.support import eventually

NAMES = ("moorage-planner.castai-agent.svc",)
TLS, CLIENT = "moorage-planner-tls", "moorage-planner-client"


class Killed(BaseException):
    """kill -9 at this very request."""


class Store:
    """Secrets as the API server keeps them; each request gives others their turn first."""

    def __init__(self, *names: str) -> None:
        self.secrets = {name: SecretObject(ObjectMeta(name, "ns", f"uid-{name}", "1")) for name in names}
        self.writes: list[tuple[str, tuple[str, ...]]] = []
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.after_write: Callable[[], None] = lambda: None

    def data(self, name: str) -> dict[str, bytes]:
        return self.secrets[name].data

    def put(self, name: str, **data: bytes) -> None:
        """Somebody else writes."""
        self._store(name, {**self.data(name), **{key.replace("_crt", ".crt"): value for key, value in data.items()}})

    def _store(self, name: str, data: dict[str, bytes]) -> None:
        meta = self.secrets[name].metadata
        version = str(int(meta.resource_version) + 1)
        self.secrets[name] = SecretObject(ObjectMeta(name, "ns", meta.uid, version), data=data)

    async def get(self, _resource: Any, name: str, namespace: str) -> SecretObject:
        assert namespace == "ns"
        await asyncio.sleep(0)
        if self.before is not None:
            await self.before("get")
        if name not in self.secrets:
            raise errors.NotFound(404, errors.Status(), request=f"GET {name}")
        return self.secrets[name]

    async def patch(
        self,
        _resource: Any,
        name: str,
        namespace: str,
        *,
        changes: Mapping[str, Any],
        uid: str,
        resource_version: str,
    ) -> None:
        assert namespace == "ns"
        await asyncio.sleep(0)
        if self.before is not None:
            await self.before("patch")
        meta = self.secrets[name].metadata
        assert uid == meta.uid
        if resource_version != meta.resource_version:
            raise errors.Conflict(409, errors.Status(reason="Conflict"), request=f"PATCH {name}")
        new = {key: base64.b64decode(value) for key, value in changes["data"].items()}
        self._store(name, {**self.data(name), **new})
        self.writes.append((name, tuple(sorted(new))))
        self.after_write()


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store(TLS, CLIENT)


def make(store: Store, time: Time | None = None, **how: Any) -> SecretController:
    client: Any = store
    values: dict[str, Any] = {"tls_secret": TLS, "client_secret": CLIENT, "names": NAMES, "now": time or Time()}
    return SecretController(client, "ns", **{**values, **how})


def served(kept: SecretController) -> tuple[bytes, str]:
    pair, key = kept.pair(), kept.api_key()
    assert pair is not None
    assert key is not None
    return pair.certificate, key.reveal()


def consistent(store: Store, time: Time) -> None:
    """The pinners' certificate and key match the planner's."""
    assert certificates.judge(store.data(TLS), NAMES, time.now) is State.GOOD
    assert store.data(CLIENT)["ca.crt"] == store.data(TLS)["ca.crt"]
    assert len(store.data(CLIENT)[API_KEY]) >= 32


async def test_empty_secrets_are_filled_once_and_then_only_read(store: Store) -> None:
    time = Time()
    first = make(store, time)
    await first.ensure()
    consistent(store, time)
    assert store.writes == [(TLS, tuple(sorted(certificates.KEYS))), (CLIENT, (API_KEY, "ca.crt"))]
    assert served(first) == (store.data(TLS)["tls.crt"], store.data(CLIENT)[API_KEY].decode())
    second = make(store, time)
    await second.ensure()
    await first.ensure()
    assert served(second) == served(first)
    assert len(store.writes) == 2
    assert "ca.key" not in store.data(CLIENT)


@pytest.mark.parametrize("seed", range(20))
async def test_planners_that_start_at_the_same_time_end_with_the_same(store: Store, seed: int) -> None:
    chance, time = random.Random(seed), Time()

    async def dawdle(_verb: str) -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    store.before = dawdle
    several = [make(store, time) for _ in range(3)]
    await asyncio.gather(*(each.ensure() for each in several))
    consistent(store, time)
    for each in several:
        await each.ensure()
    assert len({served(each) for each in several}) == 1
    assert len(store.writes) == 2


@pytest.mark.parametrize("moment", range(8))
async def test_killed_at_any_request_the_next_one_ends_well(store: Store, moment: int) -> None:
    time, left = Time(), [moment]

    async def kill(_verb: str) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    store.before = kill
    killed = False
    try:
        await make(store, time).ensure()
    except Killed:
        killed = True
    assert killed == (moment < 6)  # three reads and a write, two reads and a write: see the order of writes above
    store.before = None
    next_one = make(store, time)
    await next_one.ensure()
    consistent(store, time)
    assert len(store.writes) == 2


@pytest.mark.parametrize("write", [1, 2])
async def test_killed_just_after_a_write_nothing_is_made_twice(store: Store, write: int) -> None:
    time = Time()

    def kill() -> None:
        if len(store.writes) == write:
            raise Killed

    store.after_write = kill
    with pytest.raises(Killed):
        await make(store, time).ensure()
    store.after_write = lambda: None
    before = dict(store.data(TLS))
    await make(store, time).ensure()
    consistent(store, time)
    assert store.data(TLS) == before


async def test_the_certificate_is_renewed_under_the_same_authority(store: Store) -> None:
    time = Time()
    kept = make(store, time)
    await kept.ensure()
    authority, old, key = store.data(TLS)["ca.crt"], *served(kept)
    time.now += timedelta(days=61)
    await kept.ensure()
    assert store.data(TLS)["ca.crt"] == authority == store.data(CLIENT)["ca.crt"]
    assert served(kept)[0] == store.data(TLS)["tls.crt"] != old
    assert served(kept)[1] == key
    assert store.writes[-1] == (TLS, ("tls.crt", "tls.key"))


async def test_a_key_or_certificate_that_somebody_replaces_is_used(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kept = make(store)
    await kept.ensure()
    key = served(kept)[1]
    store.put(CLIENT, API_KEY=b"another-key-5678\n")
    store.secrets[TLS] = SecretObject(store.secrets[TLS].metadata)  # emptied, to be filled anew
    await kept.ensure()
    assert served(kept) == (store.data(TLS)["tls.crt"], "another-key-5678")
    assert store.data(CLIENT)["ca.crt"] == store.data(TLS)["ca.crt"]
    said = "".join(str(vars(record)) for record in caplog.records)
    assert key not in said
    assert "another-key" not in said
    assert "PRIVATE" not in said


async def test_a_configured_key_and_the_authority_of_files_are_published(store: Store) -> None:
    kept = make(store, tls_secret="", own_key=lambda: Secret("configured"), own_authority=lambda: b"AUTHORITY")
    await kept.ensure()
    assert store.data(CLIENT) == {API_KEY: b"configured", "ca.crt": b"AUTHORITY"}
    assert kept.pair() is None
    alone = make(store, client_secret="", own_key=lambda: Secret("configured"))
    await alone.ensure()
    assert served(alone)[1] == "configured"


async def test_what_cannot_be_used_is_left_alone_and_said(store: Store) -> None:
    store.put(TLS, ca_crt=b"mine")
    with pytest.raises(Unusable, match=f"Secret ns/{TLS}: it has data, but no authority of ours"):
        await make(store).ensure()
    assert store.writes == []
    store.put(CLIENT, API_KEY=b"\xff\xfe")
    with pytest.raises(Unusable, match=f"Secret ns/{CLIENT}: API_KEY is not printable ASCII"):
        await make(store, tls_secret="").ensure()
    store.put(CLIENT, API_KEY=b"two\nlines")
    with pytest.raises(SettingsError, match=f"Secret ns/{CLIENT}: it holds no key"):
        await make(store, tls_secret="").ensure()
    assert store.writes == []


async def test_it_goes_on_until_all_is_there_and_says_once_what_is_missing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_RETRY", "LAST_RETRY", "REFRESH"):
        monkeypatch.setattr(secrets, name, 0.002)
    store, problems = Store(TLS), list[str]()
    kept = make(store, on_problem=problems.append)
    task = asyncio.create_task(kept.run())
    try:
        await eventually(lambda: len(problems) == 1)
        await asyncio.sleep(0.02)
        assert not kept.complete.is_set()
        assert len(problems) == 1
        assert f"Secret ns/{CLIENT} does not exist. The chart moorage-planner creates it" in problems[0]
        store.secrets[CLIENT] = SecretObject(ObjectMeta(CLIENT, "ns", "u", "1"))
        await eventually(kept.complete.is_set)
        before = served(kept)
        del store.secrets[CLIENT]
        await eventually(lambda: len(problems) == 2)
        assert served(kept) == before  # what was there stays in use
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert [record.levelname for record in caplog.records].count("ERROR") == 2


async def test_somebody_who_writes_all_the_time_does_not_hold_us_for_ever(store: Store) -> None:
    async def meddle(verb: str) -> None:
        if verb == "patch":
            store.put(TLS)

    store.before = meddle
    with pytest.raises(Unusable, match="another program changes it again and again"):
        await make(store).ensure()


def test_a_secret_shows_no_data() -> None:
    shown = SecretObject(ObjectMeta("n", "ns"), data={"API_KEY": b"sesame"})
    assert repr(shown) == "Secret(ns/n: API_KEY)"
    assert "sesame" not in str(shown)
