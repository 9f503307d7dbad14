"""kube-apiserver's refusals: each becomes the error with the right handling."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.kube import errors
from moorage.kube.errors import ConflictCause, ThrottleCause
from moorage.kube.wire import refusals
from tests.examples import examples
from tests.unit.kube.hostile import Json, status


def refusal(code: int, body: Json | bytes, **headers: str) -> errors.ApiError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusals.from_response(code, {k.replace("_", "-"): v for k, v in headers.items()}, data, request="GET /x")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (504, errors.ServerError),
        (302, errors.ApiError),
        (400, errors.ApiError),
        (418, errors.ApiError),
    ],
)
def test_the_status_decides_the_class(code: int, kind: type[errors.ApiError]) -> None:
    error = refusal(code, status(code, "Reason", "what went wrong"))
    assert type(error) is kind
    assert error.code == code
    assert str(error) == f"GET /x: {code} Reason: what went wrong"


_CANNOT = 'Operation cannot be fulfilled on pods "web-0": '
_STORAGE = "StorageError: invalid object, Code: 4, Key: /registry/pods/ns/a, ResourceVersion: 0, AdditionalErrorMsg: "


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (_CANNOT + "the object has been modified; please apply your changes to the latest version and try again", "RV"),
        (_CANNOT + _STORAGE + "Precondition failed: UID in precondition: a, UID in object meta: b", "UID"),
        (_CANNOT + "Precondition failed: UID in precondition: a, UID in object meta: ", "UID"),
        (
            _CANNOT + "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: 2",
            "RV",
        ),
        (
            _CANNOT + "the UID in the precondition (a) does not match the UID in record (b). The object might have "
            "been deleted and then recreated",
            "UID",
        ),
        (
            _CANNOT + "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (2). "
            "The object might have been modified",
            "RV",
        ),
        (
            'Operation cannot be fulfilled on pods/binding "web-0": pod web-0 is already assigned to node "n1"',
            "BOUND",
        ),
        (
            'Operation cannot be fulfilled on pods/binding "web-0": pod web-0 has non-empty .spec.schedulingGates',
            "GATED",
        ),
        (
            'Operation cannot be fulfilled on pods/binding "web-0": pod web-0 is being deleted, cannot be assigned to '
            "a host",
            "TERMINATING",
        ),
        ('Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas', "OTHER"),
        ("", "OTHER"),
    ],
)
def test_a_conflict_names_its_cause(message: str, cause: str) -> None:
    expected = {
        "RV": ConflictCause.RESOURCE_VERSION,
        "UID": ConflictCause.UID,
        "BOUND": ConflictCause.ALREADY_BOUND,
        "GATED": ConflictCause.GATED,
        "TERMINATING": ConflictCause.TERMINATING,
        "OTHER": ConflictCause.OTHER,
    }[cause]
    error = refusal(409, status(409, "Conflict", message, name="web-0", kind="pods"))
    assert isinstance(error, errors.Conflict)
    assert error.cause is expected


@pytest.mark.parametrize("message", ['nodes "n1" already exists', 'object is being deleted: nodes "n1" already exists'])
def test_a_taken_name_is_a_conflict_of_its_own(message: str) -> None:
    error = refusal(409, status(409, "AlreadyExists", message, name="n1", kind="nodes"))
    assert isinstance(error, errors.Conflict)
    assert error.cause is ConflictCause.ALREADY_EXISTS


def test_a_spent_disruption_budget_is_told_from_flow_control() -> None:
    spent = status(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=[
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget a needs 2 healthy pods and has 2 currently",
            }
        ],
    )
    error = refusal(429, spent)
    assert isinstance(error, errors.TooManyRequests)
    assert error.cause is ThrottleCause.DISRUPTION_BUDGET
    assert error.retry_after is None
    stale = status(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        retryAfterSeconds=10,
        causes=[
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget a is still being processed by the server.",
            }
        ],
    )
    error = refusal(429, stale)
    assert isinstance(error, errors.TooManyRequests)
    assert error.cause is ThrottleCause.DISRUPTION_BUDGET
    assert error.retry_after == 10.0
    busy = refusal(429, b"Too many requests, please try again later.\n", Retry_After="1")
    assert isinstance(busy, errors.TooManyRequests)
    assert busy.cause is ThrottleCause.FLOW_CONTROL
    assert busy.retry_after == 1.0
    assert busy.status.message == "Too many requests, please try again later."


def test_two_budgets_on_one_pod_are_told_from_other_failures() -> None:
    several = refusal(
        500,
        status(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ),
    )
    assert isinstance(several, errors.ServerError)
    assert several.several_budgets
    other = refusal(500, status(500, "InternalError", "etcdserver: leader changed"))
    assert isinstance(other, errors.ServerError)
    assert not other.several_budgets


def test_validation_names_the_fields() -> None:
    causes = [{"reason": "FieldValueInvalid", "message": 'Invalid value: "x"', "field": "spec.taints[0].effect"}]
    error = refusal(422, status(422, "Invalid", "Node is invalid", causes=causes))
    assert [cause.field for cause in error.causes] == ["spec.taints[0].effect"]
    assert refusal(422, status(422, "Invalid")).causes == ()


@pytest.mark.parametrize(
    ("header", "details", "expected"),
    [
        ("7", 0, 7.0),
        ("7", 3, 7.0),
        ("", 3, 3.0),
        ("0", 0, 0.0),
        ("999999999999999999", 0, 3600.0),
        ("", 10**9, 3600.0),
        ("-1", 0, None),
        ("1.5", 0, None),
        ("٧", 0, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0, None),
        ("", 0, None),
        ("", -5, None),
    ],
)
def test_retry_after(header: str, details: int, expected: float | None) -> None:
    body = status(503, "ServiceUnavailable", "busy", retryAfterSeconds=details)
    assert refusal(503, body, **({"Retry_After": header} if header else {})).retry_after == expected


def test_a_proxys_page_is_quoted_briefly() -> None:
    page = b"<html>" + b"x" * 5000 + b"</html>"
    error = refusal(502, page)
    assert isinstance(error, errors.ServerError)
    assert str(error).startswith("GET /x: 502 HTTP 502: <html>xxx")
    assert len(str(error)) < 300
    assert "no message" in str(refusal(502, b""))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "502 HTTP 502: {}"),
        (b'{"error": "upstream is away"}', '502 HTTP 502: {"error": "upstream is away"}'),
        (b'{"message": "upstream is away"}', "502 no reason: upstream is away"),
        (b'{"reason": "Away"}', "502 Away: no message"),
    ],
)
def test_no_json_makes_a_refusal_without_words(body: bytes, words: str) -> None:
    assert str(refusal(502, body)) == f"GET /x: {words}"


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | st.sampled_from([b"[" * 100_000, b'{"message":"\xff"}', b'{"details":7}', b"null"]))
def test_no_body_is_too_strange(body: bytes) -> None:
    error = refusal(409, body)
    assert isinstance(error, errors.Conflict)
    assert isinstance(error.cause, ConflictCause)
    assert str(error)


_TEXT = st.text('aé{"0', max_size=5)
_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
)


@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["message", "reason", "code", "details", "causes", "kind"]), _JSON))
def test_no_status_is_too_strange(body: dict[str, Any]) -> None:
    error = refusal(429, body)
    assert isinstance(error, errors.TooManyRequests)
    assert isinstance(error.cause, ThrottleCause)
