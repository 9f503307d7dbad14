"""ValidatingAdmissionPolicies and what binds them."""

from __future__ import annotations

from typing import Any

from .base import KubeObject, Object


class ExpressionWarning(Object, frozen=True):
    """What the API server's type check found in one expression."""

    field_ref: str = ""
    warning: str = ""


class TypeChecking(Object, frozen=True):
    """What it found in all of them."""

    expression_warnings: tuple[ExpressionWarning, ...] = ()


class AdmissionPolicyStatus(Object, frozen=True):
    """``status`` of a ValidatingAdmissionPolicy."""

    observed_generation: int = 0
    type_checking: TypeChecking | None = None


class AdmissionPolicy(KubeObject, frozen=True):
    """A ValidatingAdmissionPolicy; its spec as it stands, for a look at the whole."""

    spec: dict[str, Any] = {}
    status: AdmissionPolicyStatus = AdmissionPolicyStatus()


class AdmissionPolicyBindingSpec(Object, frozen=True):
    """``spec`` of a ValidatingAdmissionPolicyBinding."""

    policy_name: str = ""
    validation_actions: tuple[str, ...] = ()
    match_resources: dict[str, Any] | None = None


class AdmissionPolicyBinding(KubeObject, frozen=True):
    """A ValidatingAdmissionPolicyBinding."""

    spec: AdmissionPolicyBindingSpec = AdmissionPolicyBindingSpec()


class MutatingWebhookConfiguration(KubeObject, frozen=True):
    """Whom the API server asks about objects that are created; ``webhooks`` as they stand, every field of them."""

    webhooks: tuple[dict[str, Any], ...] = ()
