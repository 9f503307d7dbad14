"""A certificate in a Secret: ours is created and renewed, and a foreign one is only read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from moorage.controller import certificates
from moorage.controller.certificates import AUTHORITY, AUTHORITY_KEY, CERTIFICATE, CERTIFICATE_KEY, Unusable
from moorage.controller.serving import KEPT_BY_OTHERS, SecretWriter, ServingCertificate
from moorage.objects import ObjectMeta, Secret

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NAMES = ("webhook.ns.svc", "webhook.ns")
OURS = certificates.fill(NOW, NAMES, "test")
THEIRS = {key: value for key, value in OURS.items() if key != AUTHORITY_KEY}


class Secrets:
    """One Secret, as the API server keeps it."""

    def __init__(self, data: Mapping[str, bytes], type: str) -> None:
        self.secret = Secret(ObjectMeta(name="webhook", namespace="ns"), dict(data), type)
        self.writes = 0

    def named(self, name: str) -> str:
        return f"Secret ns/{name}"

    async def get(self, name: str) -> Secret:
        assert name == "webhook"
        return self.secret

    async def write(self, secret: Secret, data: Mapping[str, bytes]) -> bool:
        self.writes += 1
        self.secret = Secret(secret.metadata, {**secret.data, **data}, secret.type)
        return True


def serving(secrets: Secrets, names: tuple[str, ...] = NAMES, now: datetime = NOW) -> ServingCertificate:
    return ServingCertificate(cast("SecretWriter", secrets), "webhook", names, "test", now=lambda: now)


@pytest.mark.parametrize("data", [{}, certificates.fill(NOW - timedelta(days=80), NAMES, "test")])
async def test_a_secret_of_ours_is_filled_and_renewed(data: dict[str, bytes]) -> None:
    secrets = Secrets(data, "Opaque")
    pair, authority = await serving(secrets).ensure()
    assert secrets.writes == 1
    assert (pair.certificate, authority) == (secrets.secret.data[CERTIFICATE], secrets.secret.data[AUTHORITY])
    assert certificates.expiry(pair.certificate) > NOW + timedelta(days=80)


async def test_a_certificate_that_others_keep_is_shown_as_it_is_and_never_written() -> None:
    late = NOW + certificates.CERTIFICATE_LIFETIME - timedelta(minutes=1)
    secrets = Secrets(THEIRS, KEPT_BY_OTHERS)
    pair, authority = await serving(secrets, now=late).ensure()
    assert (pair.certificate, pair.key, authority) == (
        THEIRS[CERTIFICATE],
        THEIRS[CERTIFICATE_KEY],
        THEIRS[AUTHORITY],
    )
    assert secrets.writes == 0


async def test_a_certificate_for_all_names_of_a_domain_will_do() -> None:
    data = certificates.fill(NOW, ["*.ns.svc", "webhook.ns"], "test")
    await serving(Secrets(data, KEPT_BY_OTHERS)).ensure()


@pytest.mark.parametrize(
    ("change", "names", "later", "why"),
    [
        ({CERTIFICATE: b"", CERTIFICATE_KEY: b"", AUTHORITY: b""}, NAMES, timedelta(), "are missing or do not belong"),
        ({CERTIFICATE_KEY: OURS[AUTHORITY_KEY]}, NAMES, timedelta(), "are missing or do not belong together"),
        ({AUTHORITY: b""}, NAMES, timedelta(), "ca.crt is not a certificate: use an issuer"),
        ({}, (*NAMES, "other.ns.svc"), timedelta(), "is not valid for other.ns.svc. Its type kubernetes.io/tls"),
        ({}, NAMES, certificates.CERTIFICATE_LIFETIME, "its certificate expired at 2026-05-01"),
    ],
)
async def test_what_others_keep_and_cannot_be_shown_is_refused_with_the_reason(
    change: dict[str, bytes], names: tuple[str, ...], later: timedelta, why: str
) -> None:
    secrets = Secrets({**THEIRS, **change}, KEPT_BY_OTHERS)
    with pytest.raises(Unusable, match=f"^Secret ns/webhook: .*{why}"):
        await serving(secrets, names, NOW + later).ensure()
    assert secrets.writes == 0
