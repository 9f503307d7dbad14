"""The evictor acts: chosen nodes are emptied, no floor is violated, and other changes end the cycle with a reason."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from tests.examples import examples
from tests.unit.pinner.bed import faults
from tests.unit.pinner.bed.virtual import run, virtual

from .cycle_drain import ACTS, SECONDS, Evictor

UNDER_WAY = ("chosen", "draining")


def shop(bed: Evictor) -> None:
    """Four nodes, on two of which the pods of all would fit."""
    for number in range(4):
        bed.cluster.node(f"n{number}")
    bed.cluster.deployment("web", 4)
    bed.cluster.deployment("api", 3)
    for number in range(4):
        bed.cluster.place("web", f"n{number}")
    for number in range(3):
        bed.cluster.place("api", f"n{number}")
    bed.cluster.budget("api", "api", maxUnavailable=1)


@virtual
async def test_what_was_chosen_is_emptied_cycle_by_cycle_and_no_floor_is_broken() -> None:
    async with Evictor() as bed:
        shop(bed)
        evicted, drained = counted("evictions", "evicted"), counted("drains", "emptied")
        await bed.start()
        await bed.until(lambda: bed.evictions)
        assert REGISTRY.get_sample_value("moorage_evictor_draining") == 1
        await bed.until(lambda: bed.drained.get("emptied", 0) >= 2, 1800.0, 1.0)
        await asyncio.sleep(120.0)
        assert bed.wrong() == []
        assert bed.failures == []
        emptied = [name for name in bed.cluster.nodes if bed.phase(name) == "emptied"]
        assert len(emptied) == 2
        assert all(bed.pods_on(name) == [] for name in emptied)
        assert bed.acting == (True, "Idle")
        assert bed.states[:3] == ["Idle", "Draining", "Idle"]
        assert sorted(bed.events_of("Emptied")) == sorted(f"Node {name}" for name in emptied)
        assert sum(map(len, bed.history.times.values())) == bed.witness.evicted
        assert counted("evictions", "evicted") == evicted + bed.witness.evicted
        assert counted("drains", "emptied") == drained + 2
        assert REGISTRY.get_sample_value("moorage_evictor_draining") == 0


def counted(what: str, result: str) -> float:
    """What a counter says."""
    return REGISTRY.get_sample_value(f"moorage_evictor_{what}_total", {"result": result}) or 0.0


@virtual
async def test_what_is_about_to_be_evicted_is_written_down_first() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.configure(choice=replace(ACTS.choice, most=2))
        await bed.start()
        before: list[int] = []
        bed.api.watchers.append(lambda _: before.append(_remembered(bed)))
        await bed.until(lambda: len(bed.evictions) == 3)
        assert before == [3, 3, 3], "all, and before the first"
        await bed.until(lambda: bed.acting == (True, "Idle"))
        assert _remembered(bed) == sum(map(len, bed.history.times.values())) == 3


def _remembered(bed: Evictor) -> int:
    """How many evictions were written down last."""
    history = bed.said[-1].history
    return sum(map(len, history.times.values())) if history is not None else 0


@virtual
async def test_nothing_is_evicted_that_could_not_be_written_down() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.writes_down = False
        await bed.start()
        await asyncio.sleep(120.0)
        assert bed.writes() == []
        assert bed.acting == (False, "NotWritten")
        assert bed.events_of("StoodDown") == ["Pod castai-evictor-1-x"]
        assert _remembered(bed) == 0, "nor is it remembered"


@virtual
async def test_a_dry_run_touches_nothing_and_counts_at_once_in_the_middle() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.configure(dry_run=True)
        await bed.start()
        await asyncio.sleep(60.0)
        assert (bed.writes(), bed.acting) == ([], (False, "DryRun"))
        bed.configure(dry_run=False)
        await bed.until(lambda: bed.evictions)
        evicted = len(bed.evictions)
        bed.configure(dry_run=True)
        await bed.until(lambda: bed.acting == (False, "DryRun"))
        await asyncio.sleep(300.0)
        assert len(bed.evictions) <= evicted + 1, "what was under way"
        assert bed.acting == (False, "DryRun")
        assert bed.wrong() == []
        assert not any(node["spec"].get("unschedulable") for node in bed.cluster.nodes.values())


@virtual
async def test_beside_another_evictor_ours_stands_down_and_says_who_that_is() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.deployment_of("castai-evictor", "castai-agent")  # our own
        bed.deployment_of("castai-evictor", "elsewhere")
        bed.deployment_of("old", "elsewhere", replicas=0)
        await bed.start()
        await asyncio.sleep(90.0)
        assert bed.writes() == []
        assert bed.acting == (False, "AnotherEvictor")
        ((about, _, note),) = [each for each in bed.recorder.events if each[1] == "StoodDown"]
        assert about == "Pod castai-evictor-1-x"
        assert "Deployment elsewhere/castai-evictor is another evictor" in note
        bed.api.delete("deployments", "elsewhere/castai-evictor")
        await bed.until(lambda: bed.evictions)


@virtual
async def test_another_evictor_that_comes_in_the_middle_ends_the_cycle() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.deployment_of("castai-evictor", "elsewhere")
        await bed.until(lambda: bed.acting == (False, "Stopped"))
        evicted = len(bed.evictions)
        await asyncio.sleep(300.0)
        assert bed.acting == (False, "AnotherEvictor")
        assert len(bed.evictions) == evicted
        assert bed.wrong() == []


@virtual
async def test_who_leads_next_finishes_or_gives_back_what_was_begun() -> None:
    for evicted in (0, 1, 2):
        async with Evictor() as bed:
            shop(bed)
            await bed.start()
            await bed.until(lambda evicted=evicted: bed.phase("n3") and len(bed.evictions) >= evicted, step=0.002)  # type: ignore[misc]
            await bed.kill()
            await asyncio.sleep(1.0)
            bed.begin_term()
            await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 3600.0, 1.0)
            await bed.until(lambda: bed.acting[1] == "Idle", 3600.0, 1.0)
            assert bed.wrong() == []
            assert bed.failures == []


def under_way(bed: Evictor) -> list[str]:
    """The nodes with our marks that are not ready for deletion."""
    nodes = bed.cluster.nodes.items()
    return [name for name, node in nodes if node["spec"].get("unschedulable") or bed.phase(name) in UNDER_WAY]


@virtual
async def test_whoever_is_asked_to_end_gives_back_what_is_not_emptied_and_waits_for_no_pod() -> None:
    for evicted in (0, 1, 2, 3):
        async with Evictor() as bed:
            shop(bed)
            bed.configure(choice=replace(ACTS.choice, most=2))
            await bed.start()
            await bed.until(lambda evicted=evicted: bed.phase("n3") and len(bed.evictions) >= evicted, step=0.002)  # type: ignore[misc]
            began = bed.now()
            await bed.stop()
            assert bed.now() - began < SECONDS
            assert under_way(bed) == []
            assert bed.acting == (False, "Stopped")
            (note,) = {note for _, reason, note in bed.recorder.events if reason == "RolledBack"}
            assert note.endswith("it was stopped (the evictor is being stopped)")
            done = len(bed.evictions)
            assert _remembered(bed) == done, "those that have not happened are not remembered"
            await asyncio.sleep(60.0)
            assert len(bed.evictions) == done
            bed.begin_term()
            await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 3600.0, 1.0)
            assert bed.wrong() == []
            assert bed.failures == []


@virtual
async def test_whoever_cannot_give_back_when_it_ends_leaves_the_marks_to_the_next() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.wire.faults.set(faults.deny(), "patch", "nodes")
        began = bed.now()
        await bed.stop()
        assert bed.now() - began <= SECONDS
        (name,) = under_way(bed)
        assert bed.phase(name) == "draining"
        bed.wire.faults.lift()
        bed.configure(dry_run=True)
        bed.begin_term()
        await bed.until(lambda: bed.acting == (False, "DryRun"))
        assert under_way(bed) == []
        assert bed.wrong() == []


@virtual
async def test_whoever_has_nothing_under_way_ends_at_once() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.configure(dry_run=True)
        bed.writes_down = False
        await bed.start()
        await asyncio.sleep(10.0)
        began = bed.now()
        await bed.stop()
        assert bed.now() - began < 1.0


@virtual
async def test_whoever_leads_no_more_gives_nothing_back_when_it_ends() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.leads = False
        written = len(bed.writes())
        await bed.stop()
        assert len(bed.writes()) == written


@virtual
async def test_what_an_earlier_term_has_left_is_given_back_in_a_dry_run_too() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        await bed.kill()
        bed.configure(dry_run=True)
        bed.begin_term()
        await bed.until(lambda: bed.acting == (False, "DryRun"))
        assert {bed.phase(name) for name in bed.cluster.nodes} <= {"", "rolled-back", "emptied"}
        assert bed.wrong() == []


@virtual
async def test_evictions_that_are_refused_for_ever_end_with_the_reason_and_the_node_rests() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.configure(drains=replace(ACTS.drains, drain_timeout=timedelta(minutes=1)))
        bed.wire.faults.set(faults.deny(), "create", "pods/eviction")
        await bed.start()
        await bed.until(lambda: bed.drained.get("rolledBack", 0) >= 1, 600.0, 1.0)
        given_back = [about.removeprefix("Node ") for about in bed.events_of("RolledBack")]
        (note,) = [note for _, reason, note in bed.recorder.events if reason == "RolledBack"]
        assert "the node was not emptied in time" in note
        assert "its eviction is refused" in note
        assert all(bed.phase(name) == "rolled-back" for name in given_back)
        await bed.until(lambda: len(bed.looks) > 1)
        held = bed.looks[-1].cluster.verdicts[given_back[0]].findings
        assert [each.reason.name for each in held] == ["NODE_RESTING"]
        assert bed.witness.evicted == 0


@virtual
async def test_an_emptied_node_that_nobody_deletes_is_given_back_although_nothing_happens() -> None:
    async with Evictor() as bed:
        bed.cluster.node("n0")
        bed.cluster.node("n1")
        bed.cluster.deployment("web", 2)
        bed.cluster.place("web", "n0")
        bed.cluster.place("web", "n1")
        await bed.start()
        await bed.until(lambda: bed.drained.get("handedBack", 0) == 1, 3600.0, 1.0)
        (at,) = [at for at, resource, _, _ in bed.writes() if resource == "nodes"][-1:]
        assert at > 900.0
        ((_, _, note),) = [each for each in bed.recorder.events if each[1] == "HandedBack"]
        assert "the node has not been deleted" in note
        assert bed.wrong() == []


@virtual
async def test_an_emptied_node_is_given_back_by_an_evictor_that_was_switched_off_too() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.phase("n3") == "emptied")
        bed.configure(enabled=False)
        await bed.until(lambda: bed.phase("n3") == "handed-back", 1200.0, 1.0)
        assert bed.acting == (False, "Off")
        assert bed.wrong() == []


@virtual
async def test_a_spent_budget_is_waited_for() -> None:
    """Two pods of one workload on the node: after the first eviction the budget allows none for a while."""
    async with Evictor() as bed:
        for number in range(3):
            bed.cluster.node(f"n{number}")
        bed.cluster.deployment("web", 8, 2)
        bed.cluster.place("web", "n0", 2)
        for number in (1, 2):
            bed.cluster.place("web", f"n{number}", 3)
        bed.cluster.budget("web", "web", maxUnavailable=2)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.api.edit("poddisruptionbudgets", "shop/web", lambda each: each["spec"].update(maxUnavailable=1))
        await bed.until(lambda: bed.phase("n0") == "emptied")
        assert len(bed.evictions) == 2
        assert bed.wrong() == []


@virtual
async def test_rules_that_change_in_the_middle_count_at_once() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.phase("n3") == "draining", step=0.002)
        bed.api.edit("nodes", "n3", _protect)
        await bed.until(lambda: bed.events_of("RolledBack"))
        (note,) = [note for _, reason, note in bed.recorder.events if reason == "RolledBack"]
        assert "the node is marked as never to be removed" in note


def _protect(node: dict[str, dict[str, object]]) -> None:
    annotations = node["metadata"]["annotations"]
    assert isinstance(annotations, dict)
    annotations["autoscaling.cast.ai/removal-disabled"] = "true"


@virtual
async def test_pods_have_events_when_that_is_wanted() -> None:
    for wanted in (False, True):
        async with Evictor() as bed:
            shop(bed)
            bed.configure(pod_events=wanted)
            await bed.start()
            await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 600.0, 1.0)
            assert bool(bed.events_of("Evicted")) == wanted


@virtual
async def test_rights_that_are_taken_away_are_said_and_the_mark_is_taken_off_once_they_are_back() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.wire.faults.set(faults.lack_right, "patch", "nodes")
        bed.wire.faults.set(faults.lack_right, "create", "pods/eviction")
        await bed.until(lambda: bed.acting == (False, "Stopped"))
        (said,) = [each.message for each in bed.said[-1].conditions if each.type == "Acting"]
        assert "a required permission is missing" in said
        assert "still has our mark" in said
        bed.wire.faults.lift()
        await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 3600.0, 1.0)
        assert bed.failures == []


@pytest.mark.parametrize(
    ("text", "why", "cordoned"),
    [(None, "another party has cordoned the node", True), ("{}", "drain of the node cannot be read", True)],
)
@virtual
async def test_a_mark_that_somebody_takes_off_or_overwrites_is_told_and_the_node_left_to_them(
    text: str | None, why: str, cordoned: bool
) -> None:
    def change(node: dict[str, dict[str, dict[str, object]]]) -> None:
        node["metadata"]["annotations"].pop("moorage.dev/drain")
        node["metadata"]["annotations"].update({"moorage.dev/drain": text} if text else {})

    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        await bed.until(lambda: bed.phase("n3") == "draining", step=0.002)
        bed.api.edit("nodes", "n3", change)
        await bed.until(lambda: bed.events_of("LeftAlone"))
        (note,) = [note for _, reason, note in bed.recorder.events if reason == "LeftAlone"]
        assert why in note
        assert bed.events_of("LeftAlone") == ["Node n3"]
        await asyncio.sleep(300.0)
        assert bed.node("n3")["spec"].get("unschedulable", False) == cordoned
        assert bed.events_of("LeftAlone") == ["Node n3"], "once"
        assert bed.failures == []


@virtual
async def test_a_node_that_vanishes_before_it_is_emptied_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.cluster.stop = (20.0, 30.0)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        logging.getLogger("moorage").setLevel(logging.NOTSET)
        caplog.set_level(logging.INFO, "moorage.evictor")
        bed.api.delete("nodes", "n3")
        await bed.until(lambda: any(getattr(each, "state", "") == "Gone" for each in caplog.records))
        assert bed.failures == []


@virtual
async def test_a_missing_right_is_said_once_and_once_it_is_there_everything_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.wire.faults.set(faults.lack_right, "patch", "nodes")
        with caplog.at_level(logging.WARNING, "moorage"):
            await bed.start()
            await asyncio.sleep(200.0)
            stops = [each.why for each in caplog.records if each.message == "cycle stopped"]  # type: ignore[attr-defined]
            assert len(stops) == len(bed.events_of("CycleStopped")) == 1
            assert 'cannot patch resource "nodes"' in stops[0]
            bed.wire.faults.lift()
            await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 300.0, 1.0)
            bed.wire.faults.set(faults.lack_right, "patch", "nodes")
            await bed.until(lambda: bed.acting == (False, "Stopped"), 300.0, 1.0)
            await asyncio.sleep(200.0)
            reporter = [each.message for each in caplog.records if each.name == "moorage.evictor"]
            assert reporter.count("cycle stopped") == 2, "it had come back meanwhile"
            assert reporter.count("node not handed back, trying again") <= 1
        bed.wire.faults.lift()
        await bed.until(lambda: bed.drained.get("emptied", 0) >= 2, 300.0, 1.0)
        assert under_way(bed) == []
        assert bed.wrong() == []


DAYS = st.lists(
    st.tuples(
        st.floats(0.05, 90.0),
        st.sampled_from(
            ["kill", "dry run", "act", "off", "on", "rival", "alone", "late", "in time", "refuse", "allow"]
        ),
    ),
    max_size=10,
)


async def day_of(bed: Evictor, what: str) -> None:
    """Something happens."""
    match what:
        case "kill":
            await bed.kill()
            bed.begin_term()
        case "dry run" | "act":
            bed.configure(dry_run=what == "dry run")
        case "off" | "on":
            bed.configure(enabled=what == "on")
        case "rival":
            if not bed.api.read("deployments", "elsewhere/other"):
                bed.deployment_of("other", "elsewhere")
        case "alone":
            if bed.api.read("deployments", "elsewhere/other"):
                bed.api.delete("deployments", "elsewhere/other")
        case "late" | "in time":
            bed.wire.lag["pods"] = 6.0 if what == "late" else 0.0
        case "refuse":
            bed.wire.faults.set(faults.deny(), "create", "pods/eviction")
        case "allow":
            bed.wire.faults.lift()


@settings(max_examples=examples(15))
@given(DAYS)
def test_whatever_happens_no_floor_is_broken_and_nothing_is_left_behind(days: list[tuple[float, str]]) -> None:
    async def live() -> None:
        async with Evictor() as bed:
            shop(bed)
            bed.configure(choice=replace(ACTS.choice, most=3))
            await bed.start()
            for pause, what in days:
                await asyncio.sleep(pause)
                await day_of(bed, what)
            for what in ("alone", "in time", "allow", "on", "act"):
                await day_of(bed, what)
            await asyncio.sleep(700.0)
            for _ in range(600):
                if bed.acting == (True, "Idle"):
                    break
                await asyncio.sleep(1.0)
            assert bed.acting == (True, "Idle")
            assert bed.wrong() == []
            assert bed.failures == []

    run(live())
