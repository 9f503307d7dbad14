"""The rebalancing demo: its scenario, its plan, and the flags of its programs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from moorage.drain import floor
from moorage.objects import Workload
from moorage.ops import configuration
from moorage.ops.settings import PinnerSettings
from moorage.planner.settings import PlannerSettings
from tools.demo.common.apps import App, budget, deployment
from tools.demo.rebalance import planfile
from tools.demo.rebalance import settings as set_to
from tools.demo.rebalance.scenario import APPS, LEAST_NODES, MOST_NODES, NODES, WITH_DEVICES, Scenario, scenario
from tools.demo.scenario import CAPACITY

ROOT = Path(__file__).parents[3]
SIZES = range(LEAST_NODES, MOST_NODES + 1)


def test_twelve_nodes_are_replaced_by_five() -> None:
    made = scenario(NODES)
    assert made.apps == APPS
    assert (len(made.old), len(made.targets), made.slots) == (12, 5, 33)


@pytest.mark.parametrize("made", [scenario(size) for size in SIZES], ids=map(str, SIZES))
def test_all_pods_are_expected_once_and_fit_on_fewer_nodes(made: Scenario) -> None:
    cpu = {app.name: app.cpu for app in made.apps}
    slots: Counter[str] = Counter()
    for target in made.targets:
        slots.update(target.slots)
        used = sum(cpu[name] * count for name, count in target.slots.items()) + target.devices * made.trainer.cpu
        assert used <= CAPACITY
    assert slots == {app.name: app.replicas for app in made.apps}
    assert sum(target.devices for target in made.targets) == made.trainer.replicas
    assert sum(target.devices > 0 for target in made.targets) == WITH_DEVICES
    assert len(made.targets) < len(made.old)


@pytest.mark.parametrize(
    "app", [*APPS, *scenario(LEAST_NODES).apps, *scenario(MOST_NODES).apps], ids=lambda a: f"{a.name}-{a.replicas}"
)
def test_floors_are_those_that_the_drain_keeps(app: App) -> None:
    if app.budget is None:
        given = deployment(app, grace=1)
        given["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}}  # the default
        assert app.floor == floor.least("Deployment", msgspec.convert(given, Workload))
    else:
        assert budget(app)["spec"]["maxUnavailable"] == app.replicas - app.floor > 0
    assert 0 < app.floor < app.replicas, "else its pods could not be moved"


@pytest.mark.parametrize("made", [scenario(size) for size in SIZES], ids=map(str, SIZES))
def test_the_plan_is_one_that_the_planner_takes(made: Scenario) -> None:
    document = planfile.document(made)
    schema = json.loads((ROOT / "schemas" / "plan" / "plan.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(document)
    assert document["drain"] == made.old
    assert sum(each["count"] for node in document["nodes"] for each in node["expect"]) == made.slots
    assert sum(each["count"] for node in document["nodes"] for each in node.get("pods", ())) == made.trainer.replicas


def test_the_flags_are_settings_of_planner_and_pinner() -> None:
    def flags_of(settings: type[Any]) -> set[str]:
        return {each.flag for each in configuration.settings_of(settings).values()}

    first, second = set_to.replicas()
    assert first.name != second.name
    assert first.port != second.port
    pinner = first.flags(Path("config"), "127.0.0.1:1")
    planner = set_to.planner_flags(Path("config"), Path("plan"), "127.0.0.1:1")
    assert {flag.partition("=")[0] for flag in pinner} <= flags_of(PinnerSettings)
    assert {flag.partition("=")[0] for flag in planner} <= flags_of(PlannerSettings)
