"""kube-apiserver's refusals: the Status with its reason, sentence, details and causes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from moorage.kube import errors
from moorage.kube.wire import refusals

Json = dict[str, Any]


class Cause(NamedTuple):
    """One field that validation refuses."""

    field: str
    sentence: str
    reason: str = "FieldValueInvalid"


def refusal(code: int, reason: str, message: str, *, request: str = "", **details: Any) -> errors.ApiError:
    """A refusal as the transport raises it: read off the bytes of a Status."""
    status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    status |= {"reason": reason, "code": code}
    if details:
        status["details"] = details
    return refusals.from_response(code, {}, msgspec.json.encode(status), request=request)


def not_found(resource: str, name: str) -> errors.ApiError:
    return refusal(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource)


def exists(resource: str, name: str) -> errors.ApiError:
    return refusal(409, "AlreadyExists", f'{resource} "{name}" already exists', name=name, kind=resource)


def conflict(resource: str, name: str, why: str) -> errors.ApiError:
    text = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return refusal(409, "Conflict", text, name=name, kind=resource)


def modified(resource: str, name: str) -> errors.ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def other_uid(resource: str, name: str, wanted: str, found: str) -> errors.ApiError:
    """A write that names the uid of another object (storage.Preconditions)."""
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(resource, name, why)


def not_deleted(resource: str, name: str, what: str, wanted: str, found: str) -> errors.ApiError:
    """A DELETE with a failed precondition (rest.BeforeDelete)."""
    happened = "deleted and then recreated" if what == "UID" else "modified"
    why = (
        f"the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). "
        f"The object might have been {happened}"
    )
    return conflict(resource, name, why)


def invalid(kind: str, name: str, causes: Iterable[Cause]) -> errors.ApiError:
    found = [{"reason": c.reason, "message": c.sentence, "field": c.field} for c in causes]
    text = f'{kind} "{name}" is invalid: ' + ", ".join(f"{c['field']}: {c['message']}" for c in found)
    return refusal(422, "Invalid", text, name=name, kind=kind, causes=found)


def policy_denies(what: str, policy: str = "guard") -> errors.ApiError:
    """What a ValidatingAdmissionPolicy answers (403 unless it names another reason)."""
    text = f"{what} is forbidden: ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: not here"
    return refusal(403, "Forbidden", text)


def not_granted(verb: str, resource: str) -> errors.ApiError:
    """What RBAC answers, for a moment also when an API server starts and has not read the roles yet."""
    who = 'User "system:serviceaccount:castai-agent:castai-pod-pinner"'
    text = f'{resource} is forbidden: {who} cannot {verb} resource "{resource}" in API group "" at the cluster scope'
    return refusal(403, "Forbidden", text)


def unavailable(code: int) -> errors.ApiError:
    """What an overloaded or starting server, or a proxy before it, answers."""
    sentences = {
        429: ("TooManyRequests", "too many requests, please try again later"),
        500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504: ("Timeout", "the request did not complete within the allotted timeout"),
    }
    reason, text = sentences[code]
    return refusal(code, reason, text)
