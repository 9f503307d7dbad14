"""Reviews: for any input, a valid answer admits the pod."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.pinner.webhook.review import Malformed, answer, read
from tests.examples import examples
from tests.unit.pinner.webhook.scene import Scene, pod, review, slot

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYS = ("apiVersion", "kind", "request", "uid", "object", "metadata", "spec", "annotations", "nodeName", "affinity")
ODD = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6)


def admits(body: bytes) -> dict[str, Any]:
    """Asserts that an answer is one that the API server takes."""
    found: dict[str, Any] = msgspec.json.decode(body)
    assert found["kind"] == "AdmissionReview"
    assert found["apiVersion"] in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
    response: dict[str, Any] = found["response"]
    assert response["allowed"] is True
    assert isinstance(response["uid"], str)
    if "patch" in response:
        assert response["patchType"] == "JSONPatch"
        for operation in msgspec.json.decode(base64.b64decode(response["patch"])):
            assert operation["op"] in ("add", "remove")
    return response


def test_a_review_is_read_and_its_pod_is_in_the_namespace_of_the_request() -> None:
    request = read(review(pod(), dryRun=True))
    assert (request.uid, request.dry_run, request.pod.metadata.namespace) == ("q", True, "ns")
    assert msgspec.json.decode(answer(request))["response"] == {"uid": "q", "allowed": True}


def test_the_answer_has_the_version_of_the_question() -> None:
    old = review(pod()).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1")
    assert msgspec.json.decode(answer(read(old)))["apiVersion"] == "admission.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("body", "problem", "uid"),
    [
        (b"", "cannot be read", ""),
        (b"{", "cannot be read", ""),
        (b"[]", "cannot be read", ""),
        (b"\xff\xfe", "cannot be read", ""),
        (b"{}", "document without kind", ""),
        (
            b'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview","request":{"uid":"q"}}',
            "of admission.k8s",
            "q",
        ),
        (review(pod(), operation="UPDATE"), "UPDATE of pods", "q"),
        (review(pod(), subResource="ephemeralcontainers"), "CREATE of pods/ephemeralcontainers", "q"),
        (review(None), "only the creation", "q"),
        (review({"spec": {"nodeName": 3}}), "cannot be read", "q"),
        (review({"metadata": {"labels": []}}), "cannot be read", "q"),
    ],
)
def test_what_is_no_question_about_a_pod_is_answered_and_named(body: bytes, problem: str, uid: str) -> None:
    with pytest.raises(Malformed, match=problem) as caught:
        read(body)
    assert admits(caught.value.answer)["uid"] == uid


def test_null_is_as_good_as_left_out() -> None:
    odd = pod(affinity=None, tolerations=None, nodeSelector=None)
    odd["metadata"] |= {"creationTimestamp": None, "annotations": None}
    assert read(review(odd)).pod.spec.tolerations == ()


@settings(max_examples=examples(300))
@given(body=st.binary(max_size=200))
def test_whatever_bytes_come_the_answer_admits(body: bytes) -> None:
    admits(Scene().mutator.respond(body))


@settings(max_examples=examples(500), deadline=None)
@given(odd=ODD | JSON, more=ODD)
def test_whatever_json_comes_the_answer_admits(odd: Any, more: dict[str, Any]) -> None:
    scene = Scene()
    scene.node("node-1", slot(2))
    admits(scene.mutator.respond(msgspec.json.encode(odd)))
    admits(scene.mutator.respond(review(odd)))
    whole = pod()
    admits(scene.mutator.respond(review({**whole, **more})))
    admits(scene.mutator.respond(review({**whole, "spec": {**whole["spec"], **more}})))
    admits(scene.mutator.respond(review({**whole, "metadata": {**whole["metadata"], **more}})))
