"""Whether the fence is there and holds: the admission policy that keeps the pinner's account from harming real Nodes.

It is looked at, and it is tried: as the pinner's account a Node is created that the policy must refuse, and one that it
must not, both as a dry run.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import AdmissionPolicy, AdmissionPolicyBinding
from moorage.ops.version import version
from moorage.pinner.names import PREPARING
from moorage.pinner.promised.manifest import placeholder_manifest
from moorage.pinner.providers import PROFILES
from moorage.reservations import Promise

from . import account as accounts
from .account import Account
from .outcome import Failed, NotLookedAt, Warned

_VERSION = "app.kubernetes.io/version"
_REFUSED_BY = re.compile(r"ValidatingAdmissionPolicy '([^']+)'")
_TRIED = "a Node without its taint was refused, a placeholder was not"
_WITHOUT = "nothing but RBAC keeps whoever has the pinner's token from harming real Nodes"


async def fence_holds(client: Client, user: str, policies: Sequence[str]) -> str:
    """Look at the policies and their bindings, and try the first; returns what was found.

    Args:
        client: of whoever asks.
        user: the pinner's account; empty for whoever asks.
        policies: names of the policies, which are also those of their bindings; the first is about Nodes.

    Raises:
        Failed: it is not there, or does not hold.
        Warned: it holds, and something about it is odd.
        NotLookedAt: neither was possible.
    """
    account = await accounts.find(client, user)
    ours = re.escape(account.user) + r"(?![-.a-z0-9])"
    others = re.escape(account.user.rpartition(":")[0] + ":")  # those besides it may be about other accounts of ours
    looks = [await _look(client, name, others if index else ours) for index, name in enumerate(policies)]
    unseen = next((look.unseen for look in looks if look.unseen), "")
    odd = "; ".join(look.odd for look in looks if look.odd)
    try:
        untried = await _try(client, account, policies[0])
    except accounts.NotActing as error:
        untried = str(error)
    if unseen and untried:
        raise NotLookedAt(f"{unseen}, and {untried}")
    what = "ValidatingAdmissionPolicy " + ", ".join(policies)
    seen = f"{what} not looked at, because {unseen}" if unseen else f"{what} in force for {account.user}"
    tried = f"not tried, because {untried}" if untried else _TRIED
    if odd:
        raise Warned(f"{odd} ({tried})")
    return f"{seen}; {tried}"


async def absent() -> str:
    """Say what a release goes without that was installed without the fence.

    Raises:
        Warned: always.
    """
    raise Warned(f"there is none (admissionPolicy.enabled=false): {_WITHOUT}")


class _Look(NamedTuple):
    """Why nothing could be seen, and what is odd about what was."""

    unseen: str = ""
    odd: str = ""


async def _look(client: Client, name: str, whose: str) -> _Look:
    """Judge a policy and its binding; ``whose`` is a pattern of the accounts that it must mention."""
    try:
        policy = await client.get(resources.ADMISSION_POLICIES, name)
        binding = await client.get(resources.ADMISSION_POLICY_BINDINGS, name)
    except errors.NotFound as error:
        what = "ValidatingAdmissionPolicyBinding" if "bindings" in error.request else "ValidatingAdmissionPolicy"
        raise Failed(
            f"{what} {name} does not exist: {_WITHOUT}. Install the chart with admissionPolicy.enabled=true, or "
            "name the policies (--policies)"
        ) from error
    except errors.Forbidden as error:
        if not error.lacks_right:
            raise
        return _Look(unseen="whoever asks may not read admission policies")
    _judge_binding(binding, name)
    _judge_policy(policy, whose)
    return _Look(odd=_odd(policy))


def _judge_binding(binding: AdmissionPolicyBinding, name: str) -> None:
    spec = binding.spec
    what = f"ValidatingAdmissionPolicyBinding {name}"
    again = "Upgrade the release to have it as the chart makes it"
    if spec.policy_name != name:
        raise Failed(f"{what} binds policy {spec.policy_name or 'nothing'}: {_WITHOUT}. {again}")
    if "Deny" not in spec.validation_actions:
        actions = ", ".join(spec.validation_actions) or "nothing"
        raise Failed(f"{what} does not deny ({actions}): {_WITHOUT}. {again}")
    if spec.match_resources:
        raise Failed(f"{what} is narrowed (matchResources), so that the policy does not always count. {again}")


def _judge_policy(policy: AdmissionPolicy, whose: str) -> None:
    what = f"ValidatingAdmissionPolicy {policy.metadata.name}"
    if re.search(whose, json.dumps(policy.spec)) is None:
        raise Failed(f"{what} is about none of the accounts of this installation: {_WITHOUT}. Upgrade the release")
    if policy.spec.get("failurePolicy", "Fail") != "Fail":
        raise Failed(f"{what} lets pass what it cannot judge (failurePolicy {policy.spec['failurePolicy']})")


def _odd(policy: AdmissionPolicy) -> str:
    what = f"ValidatingAdmissionPolicy {policy.metadata.name}"
    checked = policy.status.type_checking
    if checked is not None and checked.expression_warnings:
        found = "; ".join(f"{each.field_ref}: {each.warning}" for each in checked.expression_warnings)
        return f"{what} has expressions that the API server doubts: {' '.join(found.split())}"
    made_by = policy.metadata.labels.get(_VERSION, "")
    if made_by and made_by != version():
        return f"{what} is of version {made_by}, and this is {version()}: upgrade the release"
    return ""


async def _try(client: Client, account: Account, policy: str) -> str:
    """Do as a dry run what the policy forbids and what it allows; returns why that was not possible, or nothing."""
    async with accounts.acting(client, account) as acting:
        name = f"moorage-check-{secrets.token_hex(4)}"
        refusal = await _refusal(acting, {"metadata": {"name": name}})
        if refusal is None:
            raise Failed(f"a Node without the taint {PREPARING} was accepted of {account.user}: {_WITHOUT}")
        if isinstance(refusal, errors.Forbidden) and refusal.lacks_right:
            return f"{account.user} may not create Nodes at all"
        by = _REFUSED_BY.search(refusal.status.message)
        if by is None or by[1] != policy:
            return f"somebody else refuses such a Node already: {refusal.status.message}"
        promise = Promise(allocatable={"cpu": "1", "memory": "1Gi", "pods": "10"})
        refusal = await _refusal(acting, placeholder_manifest(name, name, promise, PROFILES["generic"]))
        if refusal is not None:
            raise Failed(f"{account.user} cannot create placeholders: {refusal.status.message}")
    return ""


async def _refusal(client: Client, body: dict[str, Any]) -> errors.ApiError | None:
    """Why a Node would not be accepted, or None when it would be."""
    try:
        await client.create(resources.NODES, body, dry_run=True)
    except (errors.Forbidden, errors.Invalid) as error:
        return error
    return None
