"""The webhook configuration: registered only while pods are expected, with overlapping CAs, and no needless writes."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Any, cast

import msgspec
import pytest

from moorage.controller.fence import Fence, NotLeading
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.objects import MutatingWebhookConfiguration, ObjectMeta
from moorage.pinner.webhook import configuration
from moorage.pinner.webhook.configuration import Bundle, Registration, Target

TARGET = Target("castai-pod-pinner", {"url": "https://127.0.0.1:9444/mutate"}, 2)


class Api:
    """One configuration, as the API server keeps it."""

    def __init__(self) -> None:
        self.stored = MutatingWebhookConfiguration(ObjectMeta(name=TARGET.configuration, uid="u", resource_version="1"))
        self.writes: list[int] = []
        self.added: dict[str, Any] = {}
        self.trouble: errors.KubeError | None = None

    async def get(self, _resource: object, name: str) -> MutatingWebhookConfiguration:
        assert name == TARGET.configuration
        if self.trouble is not None:
            raise self.trouble
        return self.stored

    async def patch(self, *_named: object, changes: Any, uid: str, resource_version: str, subresource: str) -> object:
        assert subresource == ""
        meta = self.stored.metadata
        assert (uid, resource_version) == (meta.uid, meta.resource_version)
        webhooks = tuple({**each, **self.added} for each in changes["webhooks"])
        meta = msgspec.structs.replace(meta, resource_version=str(int(meta.resource_version) + 1))
        self.stored = MutatingWebhookConfiguration(meta, webhooks)
        self.writes.append(len(webhooks))
        return self.stored


class Setting:
    def __init__(self) -> None:
        self.api, self.now = Api(), 0.0
        self.bundle = Bundle(lambda: self.now)
        self.wanted, self.leads = True, True
        self.told: list[bool] = []
        fence = Fence(lambda: self.leads, 1)
        client = cast("Client", self.api)
        self.registration = Registration(
            client, fence, TARGET, self.bundle, lambda: self.wanted, self.told.append, lambda: self.now
        )

    def believed(self) -> bytes:
        (webhook,) = self.api.stored.webhooks
        return base64.b64decode(webhook["clientConfig"]["caBundle"])


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_it_is_filled_while_pods_are_expected_and_emptied_after(setting: Setting) -> None:
    setting.bundle.use(b"first")
    await setting.registration.ensure()
    await setting.registration.ensure()
    (webhook,) = setting.api.stored.webhooks
    assert (webhook["failurePolicy"], webhook["reinvocationPolicy"]) == ("Ignore", "IfNeeded")
    assert (webhook["sideEffects"], webhook["timeoutSeconds"]) == ("NoneOnDryRun", 2)
    setting.wanted = False
    await setting.registration.ensure()
    assert setting.api.stored.webhooks == ()
    assert setting.api.writes == [1, 0], "nothing is written for nothing"
    assert setting.told == [False] * 3


async def test_that_we_are_asked_is_said_once_api_servers_have_learnt_it(setting: Setting) -> None:
    setting.bundle.use(b"first")
    setting.registration.report_serving()
    await setting.registration.ensure()
    setting.now = configuration.SETTLES - 0.1
    setting.registration.report_serving()
    await setting.registration.ensure()
    assert not any(setting.told)
    setting.now = configuration.SETTLES
    setting.registration.report_serving()
    assert setting.told[-1]
    setting.bundle.use(b"second")
    await setting.registration.ensure()
    assert setting.told[-1], "who believes both authorities asks all the while"
    setting.wanted = False
    await setting.registration.ensure()
    setting.wanted = True
    await setting.registration.ensure()
    assert setting.told[-2:] == [False, False]


async def test_who_glances_compares_with_what_was_written_and_not_with_the_last_glance(setting: Setting) -> None:
    setting.bundle.use(b"first")
    setting.wanted = False
    running = asyncio.create_task(setting.registration.run())

    async def written(*counts: int) -> None:
        for _ in range(1000):
            if setting.api.writes == list(counts):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{setting.api.writes}, and not {counts}")

    try:
        setting.registration.recheck_if_changed()
        setting.wanted = True
        setting.registration.recheck()  # somebody knows at once, and nobody glances meanwhile
        await written(1)
        setting.wanted = False
        setting.registration.recheck_if_changed()
        await written(1, 0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_nobody_is_asked_before_there_is_a_certificate(setting: Setting) -> None:
    await setting.registration.ensure()
    assert setting.api.writes == []
    assert setting.told == [False]


async def test_authorities_overlap_and_the_old_one_goes_in_the_end(setting: Setting) -> None:
    setting.bundle.use(b"first")
    await setting.registration.ensure()
    setting.bundle.use(b"second")
    await setting.registration.ensure()
    assert setting.believed() == b"second\nfirst\n"
    setting.now = configuration.OVERLAP - 1
    await setting.registration.ensure()
    assert setting.believed() == b"second\nfirst\n"
    setting.now = configuration.OVERLAP
    await setting.registration.ensure()
    assert setting.believed() == b"second\n"


async def test_the_bundle_knows_since_when_its_authority_is_told(setting: Setting) -> None:
    bundle = setting.bundle
    assert bundle.published_for() == math.inf
    bundle.use(b"first")
    await setting.registration.ensure()
    setting.now = 5.0
    await setting.registration.ensure()
    assert bundle.published_for() == 5
    bundle.use(b"second")
    assert bundle.published_for() < 0
    setting.api.trouble = errors.ConnectionLost("away")
    with pytest.raises(errors.ConnectionLost):
        await setting.registration.ensure()
    assert bundle.published_for() < 0
    setting.api.trouble = None
    await setting.registration.ensure()
    assert bundle.published_for() == 0
    setting.wanted = False
    await setting.registration.ensure()
    assert bundle.published_for() == math.inf


def test_an_authority_that_comes_back_is_in_the_bundle_once() -> None:
    bundle = Bundle(lambda: 0.0)
    for each in (b"first", b"second", b"first"):
        bundle.use(each)
    assert bundle.pem() == b"first\nsecond\n"


async def test_what_a_cloud_adds_to_it_is_not_fought_over(setting: Setting) -> None:
    setting.bundle.use(b"first")
    setting.api.added = {
        "namespaceSelector": {"matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]}
    }
    for _ in range(5):
        await setting.registration.ensure()
    assert setting.api.writes == [1]
    setting.api.stored = msgspec.structs.replace(setting.api.stored, webhooks=())
    await setting.registration.ensure()
    assert setting.api.writes == [1, 1], "what somebody takes out is put back"


async def test_a_replica_that_does_not_lead_writes_nothing(setting: Setting) -> None:
    setting.bundle.use(b"first")
    setting.leads = False
    with pytest.raises(NotLeading):
        await setting.registration.ensure()
    assert setting.api.writes == setting.told == []


async def test_trouble_is_said_once_and_tried_again(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.bundle.use(b"first")
    setting.api.trouble = errors.ConnectionLost("away")
    running = asyncio.create_task(setting.registration.run())
    try:
        async with asyncio.timeout(30):
            while not caplog.messages:  # noqa: ASYNC110 - a log line comes without an event
                await asyncio.sleep(0.01)
            setting.api.trouble = None
            while not setting.api.writes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert caplog.messages.count("webhook configuration is not as it should be, trying again") == 1
