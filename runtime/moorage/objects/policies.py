"""Admission policies and webhooks: ValidatingAdmissionPolicies, their bindings, MutatingWebhookConfigurations."""

from __future__ import annotations

from typing import Any

from .base import KubeObject, Object


class ExpressionWarning(Object, frozen=True):
    """The result of the API server's type check for one expression."""

    field_ref: str = ""
    warning: str = ""


class TypeChecking(Object, frozen=True):
    """The results for all expressions."""

    expression_warnings: tuple[ExpressionWarning, ...] = ()


class AdmissionPolicyStatus(Object, frozen=True):
    """``status`` of a ValidatingAdmissionPolicy."""

    observed_generation: int = 0
    type_checking: TypeChecking | None = None


class AdmissionPolicy(KubeObject, frozen=True):
    """A ValidatingAdmissionPolicy with its raw spec."""

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
    """A MutatingWebhookConfiguration with its raw ``webhooks``."""

    webhooks: tuple[dict[str, Any], ...] = ()
