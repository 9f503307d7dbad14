"""What the API server asks, and how it is answered (``admission.k8s.io/v1``). Pure.

Whatever comes in, the answer admits the pod: a pin is a favour, and nobody's pod is refused for want of one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from moorage.kube import errors
from moorage.kube.wire import lenient
from moorage.objects import Object, Pod

Operation = Mapping[str, Any]
"""One operation of a JSON patch (RFC 6902)."""

VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
"""What can be answered: the two differ in nothing that is used here."""
KIND = "AdmissionReview"


class Malformed(Exception):
    """The body is no question about the creation of a pod; ``answer`` is what can be said to it."""

    def __init__(self, problem: str, answer: bytes) -> None:
        super().__init__(problem)
        self.answer = answer


class Request(Object, frozen=True):
    """A question about one pod.

    Attributes:
        uid: of the question, to be repeated in the answer.
        namespace: of the pod, which has none itself where the client left it out.
        operation: ``CREATE``.
        sub_resource: empty, unless the question is about a part of the pod.
        object: the pod as it is after the webhooks that were asked before; without uid, and often without a name.
        dry_run: whether nothing will be stored.
        api_version: of the review, to be repeated in the answer.
    """

    uid: str
    namespace: str = ""
    operation: str = ""
    sub_resource: str = ""
    object: Pod | None = None
    dry_run: bool = False
    api_version: str = VERSIONS[0]

    @property
    def pod(self) -> Pod:
        """The pod, in its namespace."""
        pod = self.object or Pod()
        if pod.metadata.namespace:
            return pod
        metadata = msgspec.structs.replace(pod.metadata, namespace=self.namespace)
        return msgspec.structs.replace(pod, metadata=metadata)


class _Review(Object, frozen=True):
    api_version: str = ""
    kind: str = ""
    request: Request | None = None


class _BareRequest(msgspec.Struct, frozen=True):
    uid: str = ""


class _BareReview(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = VERSIONS[0]
    request: _BareRequest | None = None


_reviews = msgspec.json.Decoder(_Review)
_bare = msgspec.json.Decoder(_BareReview)
_encode = msgspec.json.Encoder().encode


def read(body: bytes) -> Request:
    """Read a question.

    Args:
        body: of the request.

    Raises:
        Malformed: it is none about the creation of a pod.
    """
    try:
        review = lenient.decode(body, _reviews)
    except errors.UNREADABLE as error:
        raise Malformed(f"the body cannot be read: {error}", _whatever(body)) from error
    request = review.request
    if request is None or review.kind != KIND or review.api_version not in VERSIONS:
        text = f"the body is a {review.kind or 'document without kind'} of {review.api_version or 'no version'}"
        raise Malformed(f"{text}, not an {KIND} of {VERSIONS[0]} with a request", _whatever(body))
    request = msgspec.structs.replace(request, api_version=review.api_version)
    if request.operation != "CREATE" or request.sub_resource or request.object is None:
        what = f"{request.operation or 'no operation'} of pods{request.sub_resource and '/' + request.sub_resource}"
        raise Malformed(f"only the creation of pods is answered, this is {what}", answer(request))
    return request


def answer(request: Request, patch: Sequence[Operation] = ()) -> bytes:
    """Admit a pod.

    Args:
        request: the question.
        patch: what is to be changed first.
    """
    response: dict[str, Any] = {"uid": request.uid, "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(_encode(patch)).decode()}
    return _encode({"apiVersion": request.api_version, "kind": KIND, "response": response})


def _whatever(body: bytes) -> bytes:
    """An answer to what could not be read: it names the question, if that much can be read."""
    try:
        found = lenient.decode(body, _bare)
    except errors.UNREADABLE:
        found = _BareReview()
    version = found.api_version if found.api_version in VERSIONS else VERSIONS[0]
    return answer(Request(found.request.uid if found.request is not None else "", api_version=version))
