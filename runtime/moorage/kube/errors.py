"""What the API server, or the way to it, can answer: one family, told apart by what a caller does about it.

The HTTP library never shows through. A 409 and a 429 carry their *cause*, because the same status asks for opposite
reactions: a pod that is bound already may be a success, a stale resourceVersion wants a re-read, a spent disruption
budget wants patience with one pod, and flow control wants less traffic from all of us.
"""

from __future__ import annotations

import enum
import re

import msgspec


class KubeError(Exception):
    """Any failure to get an answer, or an answer that says no."""


class ConnectionLost(KubeError):
    """No answer came: refused, reset, timed out or cut. Whether a write took effect is unknown."""


class Unreachable(ConnectionLost):
    """Nobody took the connection, so the request was not made; what we knew before is as good as it was."""


class Silent(ConnectionLost):
    """The connection stood, and nothing came over it for too long."""


class Undecodable(KubeError):
    """An answer came that is not what the API promises (a proxy's page, a cut body, garbage)."""


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not what was promised: invalid UTF-8 and absurd nesting come out raw."""


class ConflictCause(enum.Enum):
    """Why a 409 was answered."""

    ALREADY_EXISTS = "already exists"
    RESOURCE_VERSION = "resourceVersion has moved on"
    UID = "another object bears the name now"
    ALREADY_BOUND = "the pod is bound already"
    GATED = "the pod has scheduling gates"
    TERMINATING = "the object is being deleted"
    OTHER = "conflict"


class ThrottleCause(enum.Enum):
    """Why a 429 was answered."""

    DISRUPTION_BUDGET = "disruption budget"
    WEBHOOK = "an admission webhook says so"
    FLOW_CONTROL = "flow control"


class StatusCause(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of ``Status.details.causes``."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """``Status.details``."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """``metav1.Status``, the body of every refusal."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


class ApiError(KubeError):
    """The API server answered, and the answer is no.

    Attributes:
        code: HTTP status.
        status: the decoded ``metav1.Status``.
        retry_after: seconds the server asks to wait, or None.
    """

    def __init__(self, code: int, status: Status, *, request: str, retry_after: float | None = None) -> None:
        self.code = code
        self.status = status
        self.request = request
        self.retry_after = retry_after
        super().__init__(f"{request}: {code} {status.reason}: {status.message}")

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """The causes the server named, possibly none."""
        return self.status.details.causes if self.status.details else ()

    @property
    def denied_by_webhook(self) -> bool:
        """Whether an admission webhook said no, with whatever code it chose.

        As apiserver/pkg/admission/plugin/webhook/errors/statuserror.go (``ToStatusErr``) words it.
        """
        return _WEBHOOK_DENIES.search(self.status.message) is not None


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(ApiError):
    """403: authenticated, but RBAC or an admission policy refuses."""

    @property
    def lacks_right(self) -> bool:
        """Whether an authorizer refuses, and not an admission policy: the first says what, the second says why.

        As apiserver/pkg/endpoints/handlers/responsewriters/errors.go (``forbiddenMessage``) words it, and for
        impersonation apiserver/pkg/endpoints/filters/impersonation.
        """
        return _NOT_GRANTED.search(self.status.message) is not None


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409; ``cause`` says which of its meanings."""

    @property
    def cause(self) -> ConflictCause:
        """Why, read off reason and message as kube-apiserver words them."""
        return _conflict_cause(self.status)


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: validation refused the object; ``causes`` name the fields."""


class TooManyRequests(ApiError):
    """429; ``cause`` tells a spent disruption budget, and a webhook that wants patience, from flow control."""

    @property
    def cause(self) -> ThrottleCause:
        """Why, by the cause that policy/v1 puts into the Status (pod/storage/eviction.go), or the name of a webhook."""
        if any(c.reason == "DisruptionBudget" for c in self.causes):
            return ThrottleCause.DISRUPTION_BUDGET
        if self.denied_by_webhook:
            return ThrottleCause.WEBHOOK
        return ThrottleCause.FLOW_CONTROL


class ServerError(ApiError):
    """5xx: the server failed; the request may have taken effect."""

    @property
    def several_budgets(self) -> bool:
        """Whether an eviction failed for good because more than one disruption budget selects the pod."""
        return "more than one PodDisruptionBudget" in self.status.message


_BY_CODE: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}

_WEBHOOK_DENIES = re.compile(r'admission webhook ".*" denied the request')
_NOT_GRANTED = re.compile(r'forbidden: User ".*" cannot \S+ (resource|path) ')
# Sentences of kube-apiserver: pkg/registry/core/pod/storage/{storage,eviction}.go, apiserver/pkg/storage/interfaces.go,
# apiserver/pkg/registry/generic/registry/store.go. tests/kube provokes each one on a real server.
_CONFLICT_SENTENCES: tuple[tuple[str, ConflictCause], ...] = (
    ("UID in precondition", ConflictCause.UID),
    ("the UID in the precondition", ConflictCause.UID),
    ("metadata.uid: Invalid value", ConflictCause.UID),
    ("ResourceVersion in precondition", ConflictCause.RESOURCE_VERSION),
    ("the ResourceVersion in the precondition", ConflictCause.RESOURCE_VERSION),
    ("the object has been modified", ConflictCause.RESOURCE_VERSION),
    ("is already assigned to node", ConflictCause.ALREADY_BOUND),
    ("has non-empty .spec.schedulingGates", ConflictCause.GATED),
    ("is being deleted", ConflictCause.TERMINATING),
)


def _conflict_cause(status: Status) -> ConflictCause:
    if status.reason == "AlreadyExists":
        return ConflictCause.ALREADY_EXISTS
    for sentence, cause in _CONFLICT_SENTENCES:
        if sentence in status.message:
            return cause
    return ConflictCause.OTHER


def from_status(code: int, status: Status, *, request: str, retry_after: float | None = None) -> ApiError:
    """Build the error that fits a Status, for example one that arrived inside a watch."""
    kind = _BY_CODE.get(code, ServerError if code >= 500 else ApiError)
    return kind(code, status, request=request, retry_after=retry_after)
