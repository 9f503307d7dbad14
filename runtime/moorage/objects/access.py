"""Access reviews: they are created like objects, answered at once, and not stored."""

from __future__ import annotations

from .base import KubeObject, Object


class AccessReviewStatus(Object, frozen=True):
    """Whether an action is allowed. ``evaluation_error`` names what an authorizer could not evaluate."""

    allowed: bool = False
    reason: str = ""
    evaluation_error: str = ""


class AccessReview(KubeObject, frozen=True):
    """A SubjectAccessReview or a SelfSubjectAccessReview with its answer."""

    status: AccessReviewStatus = AccessReviewStatus()


class UserInfo(Object, frozen=True):
    """The user as the API server authenticates it."""

    username: str = ""


class SelfReviewStatus(Object, frozen=True):
    """``status`` of a SelfSubjectReview."""

    user_info: UserInfo = UserInfo()


class SelfReview(KubeObject, frozen=True):
    """A SelfSubjectReview with its answer."""

    status: SelfReviewStatus = SelfReviewStatus()
