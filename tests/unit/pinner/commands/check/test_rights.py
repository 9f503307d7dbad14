"""The check of rights: the accounts that it checks, and the missing rights that it reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from moorage.pinner import rights as table
from moorage.pinner.commands.check.outcome import Failed, Finding, NotLookedAt, Warned
from moorage.pinner.commands.check.rights import rights_are_granted
from tests.unit.pinner.commands.check.api import NAMESPACE, OWN_REVIEW, PINNER, REVIEW, Api, connected, no_right, status

NEEDED = (*table.needed(NAMESPACE, "leader", "us"), *table.of_webhook(NAMESPACE, "ours", "ours"))
EVERY = [each for right in NEEDED for each in right.each()]


async def asked(api: Api, folder: Path, user: str = PINNER) -> str:
    async with connected(api, folder) as client:
        return await rights_are_granted(client, user, NEEDED)


async def test_somebody_else_is_asked_about_with_the_groups_of_a_service_account(tmp_path: Path) -> None:
    api = Api()
    said = await asked(api, tmp_path)
    assert said == f"{PINNER} has all {len(EVERY)} rights that it uses"
    specs = [body["spec"] for body in api.bodies if "spec" in body]
    assert {spec["user"] for spec in specs} == {PINNER}
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"}
    assert all(set(spec["groups"]) == groups for spec in specs)
    of = [spec["resourceAttributes"] for spec in specs]
    found = [
        (
            each.get("namespace", ""),
            each.get("group", ""),
            "/".join(filter(None, (each["resource"], each.get("subresource")))),
            each.get("name", ""),
            each["verb"],
        )
        for each in of
    ]
    assert sorted(found) == sorted(EVERY)
    assert api.to(OWN_REVIEW) == []


@pytest.mark.parametrize("user", ["", PINNER])
async def test_the_pinner_itself_needs_no_right_to_ask(user: str, tmp_path: Path) -> None:
    api = Api()
    api.us = PINNER
    assert PINNER in await asked(api, tmp_path, user)
    assert api.to(REVIEW) == []
    assert len(api.to(OWN_REVIEW)) == len(EVERY)


@pytest.mark.parametrize("right", NEEDED, ids=lambda right: f"{right.resource} {right.name}".strip())
async def test_each_missing_right_is_named_with_the_rule_to_add(right: table.Right, tmp_path: Path) -> None:
    api = Api()
    api.lacking = {(right.resource, verb) for verb in right.verbs}
    with pytest.raises(Finding) as caught:
        await asked(api, tmp_path)
    vital = any(each.vital for each in NEEDED if {(each.resource, verb) for verb in each.verbs} & api.lacking)
    assert isinstance(caught.value, Failed if vital else Warned)
    first, *rules = str(caught.value).splitlines()
    assert first.startswith(f"{PINNER} lacks rights")
    (line,) = [each for each in rules if each.endswith(f"# {right.purpose}") and f"[{right.resource}]" in each][-1:]
    where, _, rule = line.partition(": ")
    assert right.namespace in where
    found = yaml.safe_load(rule)
    assert found["apiGroups"] == [right.group]
    assert found["resources"] == [right.resource]
    assert set(found["verbs"]) == set(right.verbs)
    assert found.get("resourceNames", [""]) == [right.name] or not right.name


async def test_only_the_missing_verbs_are_named(tmp_path: Path) -> None:
    api = Api()
    api.lacking = {("nodes", "delete"), ("events", "create")}
    with pytest.raises(Failed) as caught:
        await asked(api, tmp_path)
    _, nodes, events = str(caught.value).splitlines()
    assert nodes.startswith('ClusterRole: {apiGroups: [""], resources: [nodes], verbs: [delete]}')
    assert events.startswith("ClusterRole: {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}")


async def test_who_may_not_ask_has_not_looked(tmp_path: Path) -> None:
    api = Api()
    api.answers[REVIEW] = lambda: no_right("subjectaccessreviews.authorization.k8s.io")
    with pytest.raises(NotLookedAt, match=r"not looked at, because asking about .* needs the right to create subject"):
        await asked(api, tmp_path)


async def test_another_refusal_is_no_missing_right(tmp_path: Path) -> None:
    api = Api()
    api.answers[REVIEW] = lambda: status(403, "a webhook says no")
    with pytest.raises(Exception, match="a webhook says no") as caught:
        await asked(api, tmp_path)
    assert not isinstance(caught.value, Finding)
