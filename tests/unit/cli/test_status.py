"""``moorage status``: the status from the objects, its output, and its exit codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from moorage.cli import status
from moorage.cli.installed.gathering import EVICTOR, PINNER, PLANNER, Gathered, Hidden, parsed
from moorage.cli.installed.judging import Part, State, judge, reserved
from moorage.cli.installed.programs import Program
from moorage.controller.leader import Leader, leader_of
from moorage.evictor.kinds import EvictorConfig
from moorage.evictor.status import StatusUpdate, merged
from moorage.objects import Lease
from moorage.objects.conditions import Condition
from moorage.pinner.commands.overview import overview
from tests.unit.cli.test_pictures import NOW, pod, reservation

LEADS = Leader("pinner-1_ab12", timedelta(seconds=2), valid=True)
GONE = Leader("pinner-1_ab12", timedelta(minutes=5), valid=False)
PINS = [{"namespace": "shop", "name": name, "uid": f"uid-{name}"} for name in ("a", "b")]


def program(command: str, *, replicas: int = 2, ready: int = 2, **env: str) -> Program:
    container = {
        "args": [command],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"name": "healthz", "containerPort": 9091}],
    }
    spec = {"replicas": replicas, "template": {"spec": {"containers": [container]}}}
    meta = {"name": f"castai-{command}", "namespace": "castai-agent"}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"readyReplicas": ready}}, Program)


def config(dry_run: bool | None = None, **said: Any) -> EvictorConfig:
    last = {"time": (NOW - timedelta(seconds=20)).isoformat(), "nodes": 40, "candidates": 12, "going": 5}
    conditions = said.get("conditions", [Condition("Ready", True, "InForce", "")])
    made = merged(None, StatusUpdate(1, conditions, last_cycle=last), NOW)
    spec = {"config": {} if dry_run is None else {"dryRun": dry_run}}
    return msgspec.convert({"metadata": {"name": "default"}, "spec": spec, "status": made}, EvictorConfig)


def gathered(**changes: Any) -> Gathered:
    """An installation where all is well."""
    pods = [pod("a", "new", pinned=True), pod("b")]
    found = Gathered(
        server="https://a.b:6443",
        namespace="castai-agent",
        now=NOW,
        programs={
            PINNER: program(PINNER),
            EVICTOR: program(EVICTOR, replicas=1, ready=1, MOORAGE_DRY_RUN="false"),
            PLANNER: program(PLANNER, replicas=1, ready=1),
        },
        leaders={PINNER: LEADS, EVICTOR: LEADS},
        leases={PINNER: "pinner-lease", EVICTOR: "evictor-lease"},
        promised=overview([reservation("new", state="Placeholder", pins=PINS)], pods),
        placeholders=1,
        webhooks=0,
        config=config(),
        metrics={PINNER: {"moorage_stream_connected": 1.0}, PLANNER: {"moorage_planner_pinners": 2.0}},
    )
    return dataclasses.replace(found, **changes)


def parts_of(found: Gathered) -> Mapping[str, Part]:
    return {part.name: part for part in judge(found)}


def text_of(found: Gathered, width: int = 80) -> list[str]:
    return list(status.lines(found, judge(found), width, colour=False))


def test_all_is_well_on_one_screen() -> None:
    found = gathered()
    lines = text_of(found)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert status.code(judge(found)) == 0
    text = "\n".join(lines)
    for words in (
        "castai-pod-pinner: 2 of 2 replicas Ready",
        "pinner-1, renewed 2s ago",
        "planner      connected",
        "idle: no pods are expected",
        "1: 1 Placeholder",
        "placeholders 1",
        "1 of 2 pods bound",
        "acting: nodes that could go are emptied",
        "40 nodes, 12 may go, 5 could go together; first found so 20s ago",
        "in 40s, then every 1m",
        "2 connected",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "part", "words"),
    [
        ({"leaders": {PINNER: GONE, EVICTOR: LEADS}}, "pod pinner", "was renewed 5m ago by pinner-1"),
        ({"leaders": {PINNER: None, EVICTOR: LEADS}}, "pod pinner", "nobody leads"),
        ({"leaders": {PINNER: GONE, EVICTOR: LEADS}, "webhooks": 1}, "pod pinner", "asks a webhook, and nobody leads"),
        ({"metrics": {PINNER: {"moorage_stream_connected": 0.0}}}, "pod pinner", "no planner is connected"),
        ({"programs": {PINNER: program(PINNER, ready=1)}}, "pod pinner", "1 of 2 replicas Ready. See kubectl logs"),
        ({"programs": {PINNER: program(PINNER, replicas=0, ready=0)}}, "pod pinner", "scaled to 0"),
        ({"programs": {}, "leaders": {}}, "pod pinner", "no pod pinner in namespace castai-agent"),
        ({"promised": None}, "pod pinner", "NodeReservation is not defined"),
        ({"metrics": {PLANNER: {"moorage_planner_plan_valid": 0.0}}}, "planner", "moorage validate plan FILE"),
        (
            {"config": config(conditions=[Condition("ConfigurationValid", False, "Invalid", "rules: 3\x1b[2J")])},
            "evictor",
            "ConfigurationValid is False: rules: 3?[2J",
        ),
    ],
)
def test_what_needs_attention_is_said_with_the_way_out(changes: dict[str, Any], part: str, words: str) -> None:
    found = gathered(**changes)
    assert any(words in problem for problem in parts_of(found)[part].problems), parts_of(found)[part].problems
    assert parts_of(found)[part].state is State.ATTENTION
    assert status.code(judge(found)) == status.ATTENTION


def test_reservations_that_need_attention_come_first() -> None:
    late = reservation("late", state="Placeholder", deadline=(NOW - timedelta(seconds=1)).isoformat())
    states = ("Ready", "Placeholder", "Failing", "Ready", "Foreign")
    all_of_them = [reservation(f"n{number}", state=state, message="why") for number, state in enumerate(states)]
    promised = overview([*all_of_them, late], ())
    found = gathered(promised=promised)
    numbers = reserved(promised, found)
    assert list(numbers.states.items()) == [("Failing", 1), ("Foreign", 1), ("Placeholder", 2), ("Ready", 2)]
    assert set(numbers.attention) == {"n2", "n4", "late"}
    assert "by its deadline" in numbers.attention["late"]
    problems = parts_of(found)["pod pinner"].problems
    assert "reservation n2: Failing: why. See moorage pins n2" in problems


def test_many_problems_leave_room_on_the_screen() -> None:
    promised = overview([reservation(f"n{number}", state="Failing") for number in range(200)], ())
    lines = text_of(gathered(promised=promised))
    assert len(lines) <= 32
    assert any("195 more" in line for line in lines)


@pytest.mark.parametrize(
    ("released", "chosen", "words"),
    [
        ("false", None, "acting"),
        ("false", False, "acting"),
        ("false", True, "dry run"),
        ("true", False, "dry run"),
        ("", None, "dry run"),
    ],
)
def test_an_evictor_acts_only_where_release_and_resource_say_so(released: str, chosen: bool | None, words: str) -> None:
    env = {"MOORAGE_DRY_RUN": released} if released else {}
    programs = {EVICTOR: program(EVICTOR, replicas=1, ready=1, **env)}
    found = gathered(programs=programs, config=config(chosen))
    assert parts_of(found)["evictor"].facts["mode"].startswith(words)


def test_programs_that_change_nothing_say_so() -> None:
    programs = {
        PINNER: program(PINNER, MOORAGE_DRY_RUN="true"),
        EVICTOR: program(EVICTOR, MOORAGE_EVICTOR_ENABLED="false"),
    }
    parts = parts_of(gathered(programs=programs))
    assert parts["pod pinner"].facts["mode"].startswith("dry run")
    assert parts["evictor"].facts["mode"].startswith("switched off")


def test_without_an_evictorconfig_the_metrics_say_what_the_last_look_came_to() -> None:
    metrics = {"castai_evictor_node_target_count": 3.0, "moorage_evictor_cycles_total": 7.0}
    found = gathered(config=None, metrics={EVICTOR: metrics})
    assert parts_of(found)["evictor"].facts["last look"] == "3 nodes could go together, after 7 cycles"
    nothing = gathered(config=None, metrics={})
    assert parts_of(nothing)["evictor"].facts["last look"].startswith("cannot be seen")


def test_what_may_not_be_read_is_said_and_is_exit_code_2() -> None:
    found = gathered(promised=Hidden('User "eve" cannot list resource "nodereservations"'))
    assert status.code(judge(found)) == status.CANNOT_LOOK
    assert any("cannot be seen: reservations and pods: User" in line for line in text_of(found))
    quiet = gathered(metrics={PINNER: Hidden("may not get pods/proxy")})
    assert parts_of(quiet)["pod pinner"].facts["planner"] == "cannot be seen: may not get pods/proxy"
    assert status.code(judge(quiet)) == 0, "that is what most people may not read"


def test_nothing_installed_needs_attention() -> None:
    found = gathered(programs={}, leaders={}, promised=overview((), ()), config=None, metrics={}, webhooks=None)
    assert status.code(judge(found)) == status.ATTENTION
    assert "Name it with --namespace" in parts_of(found)["pod pinner"].problems[0]
    assert {part.state for part in judge(found)[1:]} == {State.ABSENT}


def test_metrics_are_summed_up_over_their_labels() -> None:
    text = '# HELP a b\na{x="1"} 2\na{x="2 3"} 3.5\nb 1e3\nbroken\nc NaNs\n'
    assert parsed(text) == {"a": 5.5, "b": 1000.0}


@pytest.mark.parametrize(
    ("holder", "age", "pod_name", "valid"),
    [("p-1_x", 5, "p-1", True), ("p-1_x", 16, "p-1", False), ("alone", 1, "alone", True), ("", 1, "", False)],
)
def test_who_leads_is_read_off_a_lease(holder: str, age: int, pod_name: str, valid: bool) -> None:
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 15,
        "renewTime": (NOW - timedelta(seconds=age)).isoformat(),
    }
    found = leader_of(msgspec.convert({"spec": spec}, Lease), NOW)
    assert (found.pod, found.valid) == (pod_name, valid)
