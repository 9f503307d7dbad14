"""Questions about rights: created like objects, answered at once, and never stored."""

from __future__ import annotations

from .base import KubeObject, Object


class AccessReviewStatus(Object, frozen=True):
    """Whether somebody may do something; ``evaluation_error`` says what an authorizer could not look at."""

    allowed: bool = False
    reason: str = ""
    evaluation_error: str = ""


class AccessReview(KubeObject, frozen=True):
    """A SubjectAccessReview or a SelfSubjectAccessReview, answered."""

    status: AccessReviewStatus = AccessReviewStatus()


class UserInfo(Object, frozen=True):
    """Whom the API server takes somebody for."""

    username: str = ""


class SelfReviewStatus(Object, frozen=True):
    """``status`` of a SelfSubjectReview."""

    user_info: UserInfo = UserInfo()


class SelfReview(KubeObject, frozen=True):
    """A SelfSubjectReview, answered: who asks."""

    status: SelfReviewStatus = SelfReviewStatus()
