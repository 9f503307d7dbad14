"""The meaning of answers to an Eviction, with the messages of kube-apiserver v1.36.3."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.drain import answers
from moorage.drain.answers import Meaning
from moorage.kube import errors
from tests.unit.pinner.bed import refusals

from .bed.api import spent


def terminating() -> errors.ApiError:
    text = 'pods "a" is forbidden: unable to create new content in namespace shop because it is being terminated'
    return refusals.refusal(403, "Forbidden", text, causes=[{"reason": "NamespaceTerminating", "message": "x"}])


def webhook(code: int) -> errors.ApiError:
    return refusals.refusal(code, "", 'admission webhook "drain.example.com" denied the request: moving it myself')


BUSY = 'Timeout: couldn\'t update PodDisruptionBudget "b" due to conflicts'
BROKEN = 'Internal error occurred: failed calling webhook "w": failed to call webhook: EOF'
NEGATIVE = 'poddisruptionbudgets.policy "b" is forbidden: pdb disruptions allowed is negative'
TOO_BIG = 'poddisruptionbudgets.policy "b" is forbidden: DisruptedPods map too big - too many evictions not confirmed'
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
CASES: list[tuple[errors.KubeError, Meaning]] = [
    (refusals.not_found("pods", "a"), Meaning.GONE),
    (refusals.not_deleted("pods", "a", "UID", "u1", "u2"), Meaning.GONE),
    (refusals.modified("pods", "a"), Meaning.CHANGED),
    (spent("The disruption budget b needs 3 healthy pods and has 3 currently"), Meaning.BUDGET),
    (spent("The disruption budget b is still being processed by the server.", 10), Meaning.BUDGET),
    (refusals.unavailable(429), Meaning.UNAVAILABLE),
    (webhook(429), Meaning.REFUSED),
    (webhook(403), Meaning.REFUSED),
    (webhook(400), Meaning.REFUSED),
    (webhook(500), Meaning.REFUSED),
    (webhook(404), Meaning.REFUSED),
    (refusals.refusal(500, "", SEVERAL), Meaning.SEVERAL_BUDGETS),
    (refusals.refusal(500, "InternalError", BROKEN), Meaning.REFUSED),
    (refusals.refusal(504, "Timeout", BUSY), Meaning.BUDGET),
    (refusals.unavailable(500), Meaning.UNKNOWN),
    (refusals.unavailable(503), Meaning.UNKNOWN),
    (refusals.unavailable(504), Meaning.UNKNOWN),
    (refusals.not_granted("create", "pods/eviction"), Meaning.NO_RIGHT),
    (errors.Starting(403, refusals.not_granted("create", "pods/eviction").status, request="POST"), Meaning.UNAVAILABLE),
    (refusals.refusal(401, "Unauthorized", "Unauthorized"), Meaning.NO_RIGHT),
    (refusals.policy_denies('pods "a"'), Meaning.REFUSED),
    (refusals.refusal(403, "Forbidden", NEGATIVE), Meaning.BUDGET),
    (refusals.refusal(403, "Forbidden", TOO_BIG), Meaning.BUDGET),
    (terminating(), Meaning.NAMESPACE_TERMINATING),
    (refusals.refusal(422, "Invalid", "no"), Meaning.REFUSED),
    (errors.Unreachable("refused"), Meaning.UNAVAILABLE),
    (errors.Silent("nothing"), Meaning.UNKNOWN),
    (errors.ConnectionLost("reset"), Meaning.UNKNOWN),
    (errors.Undecodable("a page"), Meaning.UNKNOWN),
]


@pytest.mark.parametrize(("error", "meaning"), CASES, ids=[str(error)[:60] for error, _ in CASES])
def test_an_answer_and_its_meaning(error: errors.KubeError, meaning: Meaning) -> None:
    found = answers.read(error)
    assert found.meaning is meaning
    assert found.text


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (spent("x", 10), 10.0),
        (spent("x"), 0.0),
        (refusals.refusal(504, "Timeout", BUSY), 10.0),
        (refusals.refusal(429, "TooManyRequests", "later", retryAfterSeconds=7), 7.0),
    ],
)
def test_the_server_says_how_long_to_wait(error: errors.KubeError, seconds: float) -> None:
    assert answers.read(error).patience == seconds


def test_only_what_may_have_happened_counts_as_happened() -> None:
    counted = {meaning for meaning in Meaning if meaning.may_have_evicted}
    assert counted == {Meaning.ACCEPTED, Meaning.GONE, Meaning.UNKNOWN}


def test_flow_control_and_a_webhook_that_wants_patience_are_told_apart() -> None:
    causes: list[Any] = [error.cause for error in (refusals.unavailable(429), webhook(429), spent("x"))]  # type: ignore[attr-defined]
    wanted = errors.ThrottleCause
    assert causes == [wanted.FLOW_CONTROL, wanted.WEBHOOK, wanted.DISRUPTION_BUDGET]
