"""The check of the fence: objects looked at, tried as the account, and neither taken for the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.pinner.commands.check import fence
from moorage.pinner.commands.check.outcome import Failed, Finding, NotLookedAt, Warned
from tests.unit.pinner.commands.check.api import (
    BINDING,
    NAMESPACE,
    NODES,
    PINNER,
    POLICY,
    POLICY_NAME,
    Api,
    connected,
    denied,
    no_right,
    status,
)


async def looked(api: Api, folder: Path, user: str = PINNER, policies: tuple[str, ...] = (POLICY_NAME,)) -> str:
    async with connected(api, folder) as client:
        return await fence.fence_holds(client, user, policies)


def accepted() -> web.Response:
    return web.json_response({"metadata": {"name": "n"}}, status=201)


async def test_it_is_looked_at_and_tried_as_the_account_in_dry_runs_alone(tmp_path: Path) -> None:
    api = Api()
    said = await looked(api, tmp_path)
    assert " in force for " in said
    assert "a Node without its taint was refused, a placeholder was not" in said
    tries = api.to(NODES)
    assert [each.method for each in tries] == ["POST", "POST"]
    assert {each.query["dryRun"] for each in tries} == {"All"}
    assert {each.headers["Impersonate-User"] for each in tries} == {PINNER}
    assert all("Impersonate-User" not in each.headers for each in api.asked if each not in tries)


async def test_the_account_itself_acts_as_nobody_else(tmp_path: Path) -> None:
    api = Api()
    api.us = PINNER
    api.answers[POLICY] = lambda: no_right("validatingadmissionpolicies", "get")
    said = await looked(api, tmp_path, "")
    assert "not looked at, because whoever asks may not read admission policies" in said
    assert "a Node without its taint was refused" in said
    assert all("Impersonate-User" not in each.headers for each in api.asked)


async def test_who_may_not_act_as_the_account_looks_at_the_objects(tmp_path: Path) -> None:
    api = Api()
    api.lacking = {("serviceaccounts", "impersonate")}
    said = await looked(api, tmp_path)
    assert " in force for " in said
    assert "not tried, because whoever asks may not act as the account" in said
    (asked,) = [body["spec"]["resourceAttributes"] for body in api.bodies if body["kind"] == "SelfSubjectAccessReview"]
    assert (asked["namespace"], asked["name"]) == (NAMESPACE, "castai-pod-pinner")
    assert api.to(NODES) == [], "nothing is asked that will be refused"


async def test_who_acts_as_somebody_already_uses_nothing_more_than_theirs(tmp_path: Path) -> None:
    api = Api()
    async with connected(api, tmp_path) as client:
        access = credentials.acting_as(client.transport.access, "somebody")  # as with `as` in a kubeconfig
        async with Transport(access) as transport:
            said = await fence.fence_holds(Client(transport), PINNER, (POLICY_NAME,))
    assert "not tried, because whoever asks acts as somebody else already" in said
    assert {each.headers["Impersonate-User"] for each in api.asked} == {"somebody"}


async def test_who_may_neither_look_nor_try_knows_nothing(tmp_path: Path) -> None:
    api = Api()
    api.answers[POLICY] = lambda: no_right("validatingadmissionpolicies", "get")
    api.lacking = {("serviceaccounts", "impersonate")}
    with pytest.raises(NotLookedAt, match="may not read admission policies, and whoever asks may not act"):
        await looked(api, tmp_path)


Change = Callable[[Api], None]


def answer(path: str, given: Callable[[], web.Response]) -> Change:
    return lambda api: api.answers.update({path: given})


def policy(**spec: object) -> Change:
    return lambda api: api.policy["spec"].update(spec)


def binding(**spec: object) -> Change:
    return lambda api: api.binding["spec"].update(spec)


def labelled(version: str) -> Change:
    return lambda api: api.policy["metadata"]["labels"].update({"app.kubernetes.io/version": version})


def doubted(api: Api) -> None:
    doubts = [{"fieldRef": "spec.validations[0].expression", "warning": "v1, Kind=Node:\n undefined field 'x'"}]
    api.policy["status"] = {"typeChecking": {"expressionWarnings": doubts}}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            answer(POLICY, lambda: status(404, "no")),
            Failed,
            "ValidatingAdmissionPolicy castai-.* does not exist: .*Install",
        ),
        (
            answer(BINDING, lambda: status(404, "no")),
            Failed,
            "ValidatingAdmissionPolicyBinding castai-.* does not exist",
        ),
        (binding(policyName="another"), Failed, "binds policy another"),
        (binding(validationActions=["Audit", "Warn"]), Failed, r"does not deny \(Audit, Warn\)"),
        (binding(matchResources={"objectSelector": {"matchLabels": {"a": "b"}}}), Failed, "is narrowed"),
        (
            policy(matchConditions=[{"expression": "user == 'x'"}]),
            Failed,
            "is about none of the accounts",
        ),
        (
            policy(matchConditions=[{"expression": f"user == '{PINNER}-check'"}]),
            Failed,
            "is about none of the accounts",
        ),
        (policy(failurePolicy="Ignore"), Failed, "lets pass what it cannot judge"),
        (labelled("0.0.1"), Warned, r"is of version 0\.0\.1, and this is .*upgrade the release \(a Node without"),
        (doubted, Warned, r"doubts: spec.validations\[0\].expression: v1, Kind=Node: undefined field 'x'"),
        (answer(NODES, accepted), Failed, "without the taint .*pod-pinning-preparing was accepted of system:service"),
        (answer(NODES, denied), Failed, "cannot create placeholders"),
    ],
)
async def test_what_is_wrong_is_named(change: Change, kind: type[Finding], words: str, tmp_path: Path) -> None:
    api = Api()
    change(api)
    with pytest.raises(kind, match=words):
        await looked(api, tmp_path)


async def test_what_is_odd_does_not_hide_that_it_does_not_hold(tmp_path: Path) -> None:
    api = Api()
    labelled("0.0.1")(api)
    api.answers[NODES] = accepted
    with pytest.raises(Failed, match="was accepted"):
        await looked(api, tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: no_right("nodes"), "may not create Nodes at all"),
        (lambda: denied("another"), "somebody else refuses such a Node already: .*'another'"),
        (lambda: status(403, "denied by a webhook"), "somebody else refuses such a Node already: denied by a webhook"),
    ],
)
async def test_a_refusal_by_others_shows_nothing_about_the_fence(
    given: Callable[[], web.Response], words: str, tmp_path: Path
) -> None:
    api = Api()
    api.answers[NODES] = given
    said = await looked(api, tmp_path)
    assert " in force for " in said
    assert "a Node without its taint was refused" not in said
    api.answers[POLICY] = lambda: no_right("validatingadmissionpolicies", "get")
    with pytest.raises(NotLookedAt, match=words):
        await looked(api, tmp_path)


async def test_every_policy_is_looked_at_and_the_first_is_tried(tmp_path: Path) -> None:
    api, others = Api(), f"castai-pod-pinner-check.{NAMESPACE}"
    theirs: dict[str, Any] = {"matchConditions": [{"expression": f"user == '{PINNER}-check'"}]}
    bound = {"policyName": others, "validationActions": ["Deny"]}
    api.answers[POLICY.replace(POLICY_NAME, others)] = lambda: web.json_response({**api.policy, "spec": theirs})
    api.answers[BINDING.replace(POLICY_NAME, others)] = lambda: web.json_response({"spec": bound})
    said = await looked(api, tmp_path, policies=(POLICY_NAME, others))
    assert f"{POLICY_NAME}, {others} in force" in said
    theirs["matchConditions"] = [{"expression": "user == 'system:serviceaccount:elsewhere:castai-pod-pinner'"}]
    with pytest.raises(Failed, match="is about none of the accounts"):
        await looked(api, tmp_path, policies=(POLICY_NAME, others))
    api.answers[BINDING.replace(POLICY_NAME, others)] = lambda: status(404, "no")
    with pytest.raises(Failed, match=f"ValidatingAdmissionPolicyBinding {others} does not exist"):
        await looked(api, tmp_path, policies=(POLICY_NAME, others))


async def test_a_release_without_it_is_warned() -> None:
    with pytest.raises(Warned, match=r"admissionPolicy\.enabled=false"):
        await fence.absent()
