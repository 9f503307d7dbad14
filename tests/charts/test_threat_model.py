"""The write rights of each account in the threat model are those that the charts grant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.charts.rendering import EVICTOR, NAMESPACE, PINNER, PLANNER, Object, Values, render

PAGE = (Path(__file__).resolve().parents[2] / "docs/threat-model.md").read_text()
READS = {"get", "list", "watch"}

Grant = tuple[str, str, str, str]
"""Namespace, resource, verb and the only name, or empty for all."""

ACCOUNTS: dict[str, tuple[str, Values]] = {
    f"`{PINNER}`": (PINNER, {}),
    f"`{EVICTOR}`": (EVICTOR, {}),
    f"`{EVICTOR}`, `dryRun=false`": (EVICTOR, {"dryRun": False}),
    f"`{PLANNER}`": (PLANNER, {}),
    f"`{PLANNER}`, `rebalancing.enabled=true`": (PLANNER, {"rebalancing": {"enabled": True}}),
}


def granted(chart: str, values: Values) -> Iterator[Grant]:
    installed = render(chart, values).installed
    bound = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in bindings(installed)
    }
    for role in installed:
        kind, meta = role["kind"], role["metadata"]
        if (f"{kind}Binding", meta.get("namespace"), meta["name"]) not in bound:
            continue  # another kind, or one that nobody but people may be bound to
        where = {None: "all", NAMESPACE: "its own"}.get(namespace := meta.get("namespace"), namespace)
        yield from ((where, *rest) for rule in role["rules"] for rest in writes(rule))


def bindings(objects: Sequence[Object]) -> Iterator[Object]:
    """Those of objects that bind a role to an account; a role and its binding have one name in our charts."""
    for each in objects:
        if each["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert each["roleRef"]["name"] == each["metadata"]["name"]
            yield each


def writes(rule: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for resource in rule["resources"]:
        for verb in set(rule["verbs"]) - READS:
            yield from ((resource, verb, name) for name in rule.get("resourceNames", [""]))


def written() -> dict[str, set[Grant]]:
    section = PAGE.split("## What each account may write\n")[1].split("\n## ")[0]
    found: dict[str, set[Grant]] = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        account, where, resource, verbs, only = (cell.strip() for cell in line.strip("|").split("|"))
        names = re.findall(r"`([^`]+)`", only) or [""]
        found.setdefault(account, set()).update(
            (where, resource.strip("`"), verb, name) for verb in verbs.split(", ") for name in names
        )
    return found


def test_each_account_may_write_what_the_page_says() -> None:
    table = written()
    assert set(table) == set(ACCOUNTS)
    for account, (chart, values) in ACCOUNTS.items():
        always = set(granted(chart, {}))
        assert table[account] == set(granted(chart, values)) - (always if values else set()), account
