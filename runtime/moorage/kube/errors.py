"""The errors of the API server and of the connection to it, by what a caller does about them.

Exceptions of the HTTP library are never raised to callers. A 409 and a 429 carry a *cause*, because one status may need
opposite reactions. A pod that is bound already may be a success. An outdated resourceVersion needs a new read. A
used-up disruption budget needs patience for one pod. Flow control needs fewer requests of all kinds.
"""

from __future__ import annotations

import enum
import re

import msgspec


class KubeError(Exception):
    """Any failed request: no response, or a refusal."""


class ConnectionLost(KubeError):
    """No response arrived: the connection was refused, reset or cut, or it timed out. A write may have taken effect."""


class Unreachable(ConnectionLost):
    """The connection could not be opened, so the request was not sent."""


class Silent(ConnectionLost):
    """The connection was open, and no byte arrived for too long."""


class Undecodable(KubeError):
    """The response is not what the API promises: a proxy's page, a cut body, garbage."""


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of msgspec for unexpected bytes. It does not wrap those for invalid UTF-8 and for deep nesting."""


class ConflictCause(enum.Enum):
    """The cause of a 409."""

    ALREADY_EXISTS = "already exists"
    RESOURCE_VERSION = "resourceVersion is outdated"
    UID = "another object has the name now"
    ALREADY_BOUND = "the pod is bound already"
    GATED = "the pod has scheduling gates"
    TERMINATING = "the object is being deleted"
    OTHER = "conflict"


class ThrottleCause(enum.Enum):
    """The cause of a 429."""

    DISRUPTION_BUDGET = "disruption budget"
    WEBHOOK = "refused by an admission webhook"
    FLOW_CONTROL = "flow control"


class StatusCause(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of ``Status.details.causes``."""

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
    """The API server refused the request.

    Attributes:
        code: HTTP status.
        status: the decoded ``metav1.Status``.
        retry_after: seconds that the server asks to wait, or None.
    """

    def __init__(self, code: int, status: Status, *, request: str, retry_after: float | None = None) -> None:
        self.code = code
        self.status = status
        self.request = request
        self.retry_after = retry_after
        super().__init__(f"{request}: {code} {status.reason or 'no reason'}: {status.message or 'no message'}")

    @property
    def causes(self) -> tuple[StatusCause, ...]:
        """The causes in the Status; may be empty."""
        return self.status.details.causes if self.status.details else ()

    @property
    def version_too_large(self) -> bool:
        """Whether the server has not reached the request's resourceVersion (``NewTooLargeResourceVersionError``)."""
        return any(cause.reason == "ResourceVersionTooLarge" for cause in self.causes)

    @property
    def denied_by_webhook(self) -> bool:
        """Whether an admission webhook refused the request, with any status code.

        Parses the message of apiserver/pkg/admission/plugin/webhook/errors/statuserror.go (``ToStatusErr``).
        """
        return _WEBHOOK_DENIES.search(self.status.message) is not None


class Unauthorized(ApiError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(ApiError):
    """403: authenticated, but RBAC or an admission policy refuses."""

    @property
    def lacks_right(self) -> bool:
        """Whether an authorizer refused the request, and not an admission policy.

        Parses the message of apiserver/pkg/endpoints/handlers/responsewriters/errors.go (``forbiddenMessage``), and for
        impersonation that of apiserver/pkg/endpoints/filters/impersonation.
        """
        return _NOT_GRANTED.search(self.status.message) is not None


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class Conflict(ApiError):
    """409: ``cause`` tells which kind of conflict."""

    @property
    def cause(self) -> ConflictCause:
        """The cause, parsed from reason and message of kube-apiserver."""
        return _conflict_cause(self.status)


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: validation refused the object; ``causes`` name the fields."""


class TooManyRequests(ApiError):
    """429: ``cause`` tells a used-up disruption budget, a webhook that asks to wait, and flow control apart."""

    @property
    def cause(self) -> ThrottleCause:
        """The cause: from the Status of policy/v1 (pod/storage/eviction.go), or from the message of a webhook."""
        if any(c.reason == "DisruptionBudget" for c in self.causes):
            return ThrottleCause.DISRUPTION_BUDGET
        if self.denied_by_webhook:
            return ThrottleCause.WEBHOOK
        return ThrottleCause.FLOW_CONTROL


class ServerError(ApiError):
    """5xx: the server failed; the request may have taken effect."""

    @property
    def several_budgets(self) -> bool:
        """Whether an eviction can never succeed, because more than one disruption budget selects the pod."""
        return "more than one PodDisruptionBudget" in self.status.message


class Starting(ServerError):
    """403 of a server that was just out of reach: until it has read its roles, it refuses whatever they allow.

    kube-apiserver listens before its RBAC authorizer has read roles and bindings (plugin/pkg/auth/authorizer/rbac).
    """


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
# Messages of kube-apiserver: pkg/registry/core/pod/storage/{storage,eviction}.go, apiserver/pkg/storage/interfaces.go,
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
    """Create the error for a Status, for example one that arrived in a watch."""
    kind = _BY_CODE.get(code, ServerError if code >= 500 else ApiError)
    return kind(code, status, request=request, retry_after=retry_after)
