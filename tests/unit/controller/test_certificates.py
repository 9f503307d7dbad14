"""A CA and its certificates: when they are renewed, and when they stay."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from moorage.controller import certificates
from moorage.controller.certificates import State, Unusable
from moorage.controller.pki import KeyPair
from tests.unit.protocol.support import authority

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NAMES = ("moorage-planner", "moorage-planner.castai-agent.svc", "10.0.0.7")
PROGRAM = NAMES[0]
DAY = timedelta(days=1)


def test_an_empty_secret_is_filled_with_what_is_good_then() -> None:
    assert certificates.judge({}, NAMES, NOW) is State.EMPTY
    assert certificates.judge({"tls.crt": b"", "other": b"x"}, NAMES, NOW) is State.EMPTY
    data = certificates.fill(NOW, NAMES, PROGRAM)
    assert set(data) == set(certificates.KEYS)
    assert certificates.judge(data, NAMES, NOW) is State.GOOD
    assert certificates.expiry(data["tls.crt"]) == NOW + certificates.CERTIFICATE_LIFETIME


def test_a_certificate_is_due_long_before_it_ends_and_the_authority_stays() -> None:
    data = certificates.fill(NOW, NAMES, PROGRAM)
    assert certificates.judge(data, NAMES, NOW + 59 * DAY) is State.GOOD
    later = NOW + 61 * DAY
    assert certificates.judge(data, NAMES, later) is State.DUE
    new = certificates.issue(data, later, NAMES, PROGRAM)
    assert set(new) == {"tls.crt", "tls.key"}
    renewed = {**data, **new}
    assert certificates.judge(renewed, NAMES, later) is State.GOOD
    assert certificates.expiry(new["tls.crt"]) > certificates.expiry(data["tls.crt"])


def test_it_never_outlives_its_authority_and_an_expired_authority_issues_nothing() -> None:
    data = certificates.fill(NOW, NAMES, PROGRAM)
    late = NOW + certificates.AUTHORITY_LIFETIME - DAY
    issued = certificates.issue(data, late, NAMES, PROGRAM)
    assert certificates.expiry(issued["tls.crt"]) == certificates.expiry(data["ca.crt"])
    with pytest.raises(Unusable, match="has expired"):
        certificates.judge(data, NAMES, late + DAY)


def test_another_name_or_a_lost_half_makes_it_due() -> None:
    data = certificates.fill(NOW, NAMES, PROGRAM)
    other = certificates.fill(NOW, NAMES, PROGRAM)
    assert certificates.judge(data, (*NAMES, "planner.example"), NOW) is State.DUE
    for change in (
        {"tls.crt": b""},
        {"tls.key": b"rubbish"},
        {"tls.crt": other["tls.crt"]},
        {"tls.key": other["tls.key"]},
        {"tls.crt": other["tls.crt"], "tls.key": other["tls.key"]},
    ):
        assert certificates.judge({**data, **change}, NAMES, NOW) is State.DUE


@pytest.mark.parametrize(
    "change",
    [
        {"ca.key": b""},
        {"ca.crt": b"rubbish"},
        {"ca.crt": b""},
        {"ca.crt": certificates.fill(NOW, NAMES, PROGRAM)["ca.crt"]},
    ],
)
def test_what_is_not_ours_is_not_replaced(change: dict[str, bytes]) -> None:
    data = {**certificates.fill(NOW, NAMES, PROGRAM), **change}
    with pytest.raises(Unusable, match="Empty it to have it filled again") as caught:
        certificates.judge(data, NAMES, NOW)
    assert "rubbish" not in str(caught.value)


def test_a_client_believes_it_for_its_names_only(tmp_path: Path) -> None:
    """Python's own TLS, in memory: as strict as a pinner's about names and usages."""
    data = certificates.fill(datetime.now(UTC), NAMES, PROGRAM)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(data["tls.key"] + data["tls.crt"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    client = ssl.create_default_context(cadata=data["ca.crt"].decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in NAMES:
        assert _handshake(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(client, server, "planner.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(ssl.create_default_context(), server, NAMES[0])


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> bool:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True))
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
    return True


def test_the_authority_signs_servers_only_one_level_deep() -> None:
    data = certificates.fill(NOW, NAMES, PROGRAM)
    authority_certificate = x509.load_pem_x509_certificate(data["ca.crt"])
    constraints = authority_certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    leaf = x509.load_pem_x509_certificate(data["tls.crt"])
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_pairs_that_belong_together_and_what_is_shown_of_them() -> None:
    pair, other = authority("a"), authority("b")
    assert certificates.belong_together(KeyPair(pair.certificate, pair.key))
    assert not certificates.belong_together(KeyPair(pair.certificate, other.key))
    assert not certificates.belong_together(KeyPair(b"", b""))
    assert "PRIVATE" not in repr(KeyPair(pair.certificate, pair.key))
