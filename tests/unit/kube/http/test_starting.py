"""A missing right is not believed of a server that may have just started."""

from __future__ import annotations

import time

import pytest

from moorage.kube import errors
from moorage.kube.credentials import Access
from moorage.kube.errors import Status
from moorage.kube.http import transport as http
from moorage.kube.http.transport import Transport
from tests.unit.kube.hostile import Tokens

MISSING = 'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""'


def refused(found: Transport, message: str = MISSING) -> errors.ApiError:
    return found._refusal(errors.Forbidden(403, Status(message=message, reason="Forbidden"), request="GET /api"))


@pytest.fixture
def found() -> Transport:
    return Transport(Access("http://127.0.0.1:1", None, Tokens(), None, "a test"))


def test_a_missing_right_is_one_while_the_server_was_in_reach(found: Transport) -> None:
    assert isinstance(refused(found), errors.Forbidden)


def test_after_a_lost_connection_it_is_tried_again_for_a_while(found: Transport) -> None:
    found._lost_at = time.monotonic()
    assert isinstance(refused(found), errors.Starting)
    assert isinstance(refused(found, "a policy denies it"), errors.Forbidden), "a policy has been read"
    found._lost_at -= http.STARTING
    assert isinstance(refused(found), errors.Forbidden)
