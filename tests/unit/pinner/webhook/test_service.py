"""The webhook in every replica: the replica whose answer counts, and the change of certificates."""

from __future__ import annotations

import errno
import os
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from moorage.controller import certificates
from moorage.controller.certificates import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, Unusable
from moorage.controller.pki import KeyPair
from moorage.ops.parsing import Address
from moorage.pinner.webhook import service
from moorage.pinner.webhook.service import WebhookService
from tests.unit.pinner.webhook.scene import Scene, patch_in, pod, review, slot

NOW = datetime.now(UTC)


class Replica:
    """A webhook whose Secret and clock the test controls."""

    def __init__(self) -> None:
        self.now, self.leads = 0.0, True
        self.problems: list[str] = []
        self.data = certificates.fill(NOW, ["127.0.0.1"], "test")
        self.trouble: Exception | None = None
        self.webhook = WebhookService(
            Address("127.0.0.1", 0),
            self.read,
            lambda: self.leads,
            on_problem=self.problems.append,
            monotonic=lambda: self.now,
        )

    async def read(self) -> tuple[KeyPair, bytes]:
        if self.trouble is not None:
            raise self.trouble
        return KeyPair(self.data[CERTIFICATE], self.data[CERTIFICATE_KEY]), self.data[AUTHORITY]

    async def look(self) -> None:
        await self.webhook._look()

    @property
    def shown(self) -> bytes:
        assert self.webhook._shown is not None
        return self.webhook._shown.certificate


@pytest.fixture
def replica() -> Replica:
    return Replica()


async def test_the_leader_pins_and_the_others_end_the_connection(replica: Replica) -> None:
    scene = Scene()
    scene.node("node-1", slot(1))
    with replica.webhook.answering(scene.mutator):
        replica.leads = False
        answer, kept = replica.webhook.respond(review(pod()))
        assert (patch_in(answer), kept) == ([], False)
        replica.leads = True
        answer, kept = replica.webhook.respond(review(pod()))
        assert patch_in(answer) != []
        assert kept
    answer, kept = replica.webhook.respond(review(pod()))
    assert (patch_in(answer), kept) == ([], False)


async def test_a_replica_that_does_not_lead_answers_rubbish_too(replica: Replica) -> None:
    answer, kept = replica.webhook.respond(b"rubbish")
    assert b'"allowed":true' in answer
    assert not kept


async def test_a_renewed_certificate_is_shown_at_once(replica: Replica) -> None:
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]
    replica.data |= certificates.issue(replica.data, NOW + timedelta(days=1), ["127.0.0.1"], "test")
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]


async def test_a_new_authority_is_believed_before_its_certificate_is_shown(replica: Replica) -> None:
    told: list[bytes] = []
    replica.webhook.changed = lambda: told.append(replica.webhook.bundle.pem())
    await replica.look()
    first = dict(replica.data)
    replica.data = certificates.fill(NOW, ["127.0.0.1"], "test")
    await replica.look()
    assert replica.shown == first[CERTIFICATE]
    assert replica.data[AUTHORITY] in told[-1]
    assert first[AUTHORITY] in told[-1]
    replica.now = service.PROPAGATION - 1
    await replica.look()
    assert replica.shown == first[CERTIFICATE]
    replica.now = service.PROPAGATION
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]


async def test_a_new_certificate_waits_for_a_configuration_that_cannot_be_written(replica: Replica) -> None:
    bundle = replica.webhook.bundle
    await replica.look()
    bundle.published(bundle.pem())
    first = dict(replica.data)
    replica.data = certificates.fill(NOW, ["127.0.0.1"], "test")
    await replica.look()
    for replica.now in (service.PROPAGATION, 10 * service.PROPAGATION):
        await replica.look()
        assert replica.shown == first[CERTIFICATE]
    bundle.published(bundle.pem())
    replica.now += service.PROPAGATION - 1
    await replica.look()
    assert replica.shown == first[CERTIFICATE]
    replica.now += 1
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]


async def test_a_new_certificate_does_not_wait_for_a_configuration_that_asks_nobody(replica: Replica) -> None:
    bundle = replica.webhook.bundle
    await replica.look()
    bundle.published(bundle.pem())
    replica.data = certificates.fill(NOW, ["127.0.0.1"], "test")
    await replica.look()
    bundle.published(None)
    replica.now = service.PROPAGATION
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]


async def test_what_cannot_be_used_is_told_once_and_the_last_one_stays(replica: Replica) -> None:
    await replica.look()
    good = replica.shown
    replica.data = {**replica.data, CERTIFICATE_KEY: certificates.fill(NOW, ["x"], "test")[CERTIFICATE_KEY]}
    for _ in range(3):
        await replica.look()
    assert replica.shown == good
    assert len(replica.problems) == 1
    replica.trouble = Unusable("Secret ns/webhook: it holds something else")
    for _ in range(3):
        await replica.look()
    assert replica.problems[1:] == ["Secret ns/webhook: it holds something else"]
    assert replica.webhook.ready


async def test_too_many_open_files_end_nothing(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str, _flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as few:
        few.setattr(os, "memfd_create", refuse)
        for _ in range(3):
            await replica.look()
    assert replica.problems == ["[Errno 24] Too many open files"]
    await replica.look()
    assert replica.shown == replica.data[CERTIFICATE]


async def test_the_key_never_goes_to_a_disk(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda _self, path: loaded.append(path))
    await replica.look()
    assert [path.startswith("/proc/self/fd/") for path in loaded] == [True]
