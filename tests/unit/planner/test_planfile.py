"""Plan files: their meaning, and the line and the way out for each mistake."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from moorage.files.mistakes import FileMistakes
from moorage.objects import Taint
from moorage.planner import planfile
from moorage.planner.file_source import PlanFile
from moorage.planner.plan import Plan, Rebalance
from moorage.protocol import BindWhen, Owner, PodRef, Promise, Slot
from tools.generate import plan as generator

GOOD = """\
plan: black-friday
deadline: 5m
templates:
  large:
    allocatable: {cpu: 4, memory: 16Gi, pods: 58}
    labels: {zone: a, size: large}
    taints: [{key: example.com/dedicated, value: shop, effect: NoSchedule}]
nodes:
  - name: node-{}
    count: 2
    template: large
    labels: {zone: b}
    allocatable: {cpu: 3.5}
    pods:
      - {namespace: shop, owner: Deployment/web, count: 6}
    expect:
      - {namespace: shop, owner: StatefulSet/db, requests: {cpu: 500m}, count: 2}
  - name: running
    existing: true
    pods:
      - {namespace: shop, name: web-1, uid: uid-1}
fill:
  - {namespace: shop, labels: {app: api}, perNode: 3}
delete: [old-1]
release: [old-2]
"""


def _read(text: str) -> Plan:
    return planfile.read("plan.yaml", text.encode())


def _mistakes(text: str) -> list[str]:
    with pytest.raises(FileMistakes) as caught:
        _read(text)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_plan_means_what_it_says() -> None:
    plan = _read(GOOD)
    assert (plan.name, plan.lasting) == ("black-friday", timedelta(minutes=5))
    assert [node.name for node in plan.nodes] == ["node-1", "node-2", "running"]
    assert plan.nodes[1].promise == Promise(
        "node-2",
        {"cpu": "3.5", "memory": "16Gi", "pods": "58"},
        {"zone": "b", "size": "large"},
        (Taint(key="example.com/dedicated", value="shop", effect="NoSchedule"),),
    )
    assert plan.nodes[0].pods[0].owner == Owner("Deployment", "shop", "web")
    assert plan.nodes[0].pods[0].count == 6
    assert plan.nodes[0].slots == (Slot(Owner("StatefulSet", "shop", "db"), {"cpu": "500m"}, 2),)
    assert plan.nodes[2].promise is None
    assert plan.nodes[2].pods[0].exact == PodRef("shop", "web-1", "uid-1")
    assert (plan.fill[0].labels, plan.fill[0].count) == ((("app", "api"),), 3)
    assert (plan.delete, plan.release) == (("old-1",), ("old-2",))
    assert plan.needs_cluster == plan.fill[0]


def test_when_pods_are_bound_is_said_by_a_template_or_a_node() -> None:
    text = (
        "templates: {t: {allocatable: {cpu: 1, memory: 1, pods: 1}, bindWhen: StartupTaintsGone}}\n"
        "nodes: [{name: a, template: t}, {name: b, template: t, bindWhen: Immediately}]"
    )
    found = [node.promise.bind_when for node in _read(text).nodes if node.promise is not None]
    assert found == [BindWhen.STARTUP_TAINTS_GONE, BindWhen.IMMEDIATELY]
    (mistake,) = _mistakes(text.replace("bindWhen: Immediately", "bindWhen: Later"))
    assert "'Later' is none of Immediately, StartupTaintsGone" in mistake


REBALANCE = """\
kind: rebalance
drain: [old-1, old-2]
nodes:
- name: new-1
  allocatable: {cpu: 4, memory: 16Gi, pods: 58}
  expect: [{namespace: shop, owner: Deployment/web, requests: {cpu: 500m}, count: 4}]
"""


def test_a_rebalancing_says_what_is_emptied_and_in_which_time() -> None:
    plan = _read(REBALANCE)
    assert plan.rebalance == Rebalance(("old-1", "old-2"), timedelta(hours=1))
    assert [node.name for node in plan.nodes] == ["new-1"]
    assert plan.needs_cluster is None
    assert _read(f"{REBALANCE}drainDeadline: 90m").rebalance == Rebalance(("old-1", "old-2"), timedelta(minutes=90))
    assert _read("kind: pins\nnodes: []").rebalance is None


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("kind: rebalanse", ["line 1: kind: 'rebalanse' is none of pins, rebalance"]),
        (
            "kind: rebalance",
            ["line 1: drain is missing: a plan of kind rebalance says which nodes are emptied"],
        ),
        (
            "kind: rebalance\ndrain: [a]",
            ["line 1: nodes is empty: a plan of kind rebalance says where the pods are to go"],
        ),
        ("drain: [a]", ["line 1: drain: only in a plan of kind rebalance; add kind: rebalance"]),
        (
            "kind: pins\ndrainDeadline: 1h",
            ["line 2: drainDeadline: only in a plan of kind rebalance; add kind: rebalance"],
        ),
        (f"{REBALANCE}drainDeadline: 25h", ["line 7: drainDeadline: 25h is not more than 0 and at most 24h"]),
        (
            REBALANCE.replace("old-2", "old-1"),
            ["line 2: drain: node old-1 is there already"],
        ),
        (REBALANCE.replace("old-2", "new-1"), ["line 2: drain: node new-1 is planned in line 4, too"]),
        (
            f"{REBALANCE}release: [x]\ndelete: [y]",
            [
                "line 7: release: not in a plan of kind rebalance; serve it with a plan of its own",
                "line 8: delete: not in a plan of kind rebalance; serve it with a plan of its own",
            ],
        ),
        (
            "kind: rebalance\ndrain: [a]\nnodes:\n- name: n\n  existing: true",
            ["line 5: existing: a plan of kind rebalance creates its nodes"],
        ),
        ("kind: rebalance\ndrain: []", ["line 2: drain: is empty, at least 1 entry"]),
    ],
)
def test_a_rebalancing_that_is_none(text: str, mistakes: list[str]) -> None:
    assert sorted(_mistakes(text)) == sorted(mistakes)


def test_a_rebalancing_is_no_plan_where_it_is_switched_off(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(REBALANCE)
    with pytest.raises(FileMistakes, match=r"plan\.yaml: .* switched off: set rebalancing\.enabled"):
        PlanFile(path, rebalancing=False).load()
    assert PlanFile(path).load().rebalance is not None


def test_defaults() -> None:
    plan = planfile.read("/plans/friday.yaml", b"nodes: [{name: n, existing: true}]")
    assert (plan.name, plan.lasting, plan.needs_cluster) == ("friday", timedelta(minutes=8), None)


def test_a_plan_of_nothing_is_one() -> None:
    assert _read("nodes: []").nodes == ()


def test_the_plan_of_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/late-nodes.md").read_text()
    plan = _read(guide.partition("```yaml\n")[2].partition("```")[0])
    assert [node.name for node in plan.nodes] == ["friday-1", "friday-2", "friday-3"]
    assert all(node.late for node in plan.nodes)


def test_a_late_node_is_known_by_what_its_template_and_it_say() -> None:
    plan = _read(
        "templates:\n"
        "  m: {allocatable: {cpu: 1, memory: 1, pods: 1}, profile: late, matchLabels: {a: b}}\n"
        "nodes:\n"
        "- {name: 'n-{}', count: 2, template: m, matchLabels: {c: d}}\n"
        "- {name: claimed, template: m, nodeClaim: default-1}\n"
    )
    first, second, claimed = (node.promise for node in plan.nodes)
    assert first is not None
    assert second is not None
    assert claimed is not None
    assert (first.name, second.name) == ("n-1", "n-2")
    assert first.match_labels == second.match_labels == {"a": "b", "c": "d"}
    assert (claimed.node_claim, claimed.match_labels, claimed.profile) == ("default-1", {"a": "b"}, "late")
    assert all(node.late for node in plan.nodes)


def test_zones_static_pods_and_long_names_that_are_meant() -> None:
    long = "n" + 63 * "x"
    machine = "{allocatable: {cpu: 2, memory: 1, pods: 9}, staticPods: {cpu: 0.1, pods: 1}, allowNewZone: true}"
    plan = _read(
        f"templates:\n  m: {machine}\nnodes:\n- {{name: a, template: m}}\n"
        "- {name: b, template: m, allowNewZone: false, staticPods: {memory: 1, pods: 2}}\n"
        f"- {{name: {long}, template: m, labels: {{kubernetes.io/hostname: short}}}}\n"
        f"- {{name: {long}late, template: m, profile: late, matchLabels: {{a: b}}}}\n"
        f"- {{name: {long}runs, existing: true}}\n"
    )
    promises = [node.promise for node in plan.nodes]
    assert [each.allow_new_zone for each in promises if each is not None] == [True, False, True, True]
    assert promises[0] is not None
    assert promises[1] is not None
    assert dict(promises[0].static_pods) == {"cpu": "0.1", "pods": "1"}
    assert dict(promises[1].static_pods) == {"cpu": "0.1", "memory": "1", "pods": "2"}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "the file is empty; a plan has at least one of nodes, delete, release"),
        ("- a", 'line 1: ["a"] is not a map'),
        ("plann: x", "line 1: unknown field 'plann'; did you mean plan?"),
        ("nodes:\n- name: n\n  existing: true\n  podz: []", "line 4: unknown field 'podz'; did you mean pods?"),
        ("nodes:\n- existing: true", "line 2: nodes: name is missing"),
        ("nodes: 7", "line 1: nodes: 7 is not a list"),
        ("deadline: 10", "line 1: deadline: 10 does not look like 8m"),
        ("deadline: 10 minutes", "line 1: deadline: '10 minutes' does not look like 8m"),
        ("deadline: 25h", "line 1: deadline: 25h is not more than 0 and at most 24h"),
        ("deadline: 0s", "line 1: deadline: 0s is not more than 0 and at most 24h"),
        ("plan: a\nplan: b", "line 2: 'plan' is there twice"),
        ("a: &x [1]\nb:\n  <<: *x", "line 3: '<<' is not supported; use templates"),
        ("? [a, b]\n: c", "line 1: a key is a text, not a list or map"),
        (
            "a: !!python/object:os.system x",
            "line 1: the tag tag:yaml.org,2002:python/object:os.system is not supported",
        ),
        (
            "nodes: [",
            "line 1: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        (
            "a: b\n\tc: d",
            "line 2: a tab: YAML is indented by spaces; write spaces instead",
        ),
        (
            "---\na: b\n---\nc: d",
            "line 4: another document begins here; only the first of a file is read",
        ),
        ("nodes:\n- name: N_1\n  existing: true", "line 2: name: 'N_1' is not made of lower-case letters"),
        (
            "nodes:\n- {name: n, existing: true}\n- {name: n, existing: true}",
            "line 3: name: node n is there already, in",
        ),
        ("nodes: [{name: n, existing: true}, {name: n, existing: true}]", "line 1: name: node n is there already, in"),
        ("nodes:\n- {name: n, existing: true}\ndelete:\n- n", "line 4: delete: node n is planned in line 2, too"),
        ("delete: [A]", "line 1: delete: 'A' is not made of lower-case letters"),
        (
            "nodes:\n- {name: n, count: 2, existing: true}",
            "line 2: name: with count, {} in it must stand for the number",
        ),
        ("nodes:\n- {name: n, template: big}", "line 2: template: 'big' is none of the templates (there are none)"),
        ("nodes:\n- name: n", "line 2: allocatable: cpu is missing"),
        (
            "nodes:\n- name: n\n  allocatable:\n    cpu: -4\n    memory: 1Gi\n    pods: 10",
            "line 4: allocatable.cpu: -4 is not more than 0",
        ),
        (
            "templates:\n  t:\n    allocatable:\n      cpu: 1\n      memory: 1XB\n      pods: 1\n"
            "nodes:\n- {name: n, template: t}",
            "line 5: allocatable.memory: '1XB' is not a quantity",
        ),
        (
            "nodes:\n- name: n\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  labels:\n    a: true",
            'line 5: a: true is not a text; write "true" in quotes',
        ),
        (
            "nodes:\n- name: n\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  taints:\n  - {key: a, effect: Never}",
            "line 5: effect: 'Never' is none of NoSchedule, PreferNoSchedule, NoExecute",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  labels: {a: b}",
            "line 4: labels: not for an existing node, it has its own",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  pods:\n  - namespace: x",
            "line 5: pods: exactly one of name, owner, labels says which pods",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  pods:\n  - {namespace: x, owner: Pod/a}",
            "line 5: owner: 'Pod/a' does not look like Deployment/web",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  pods:\n"
            "  - {namespace: x, name: a, uid: b}\n  - {namespace: x, name: a}",
            "line 6: pods: x/a is planned already, in line 5",
        ),
        (
            "nodes:\n- name: n-{}\n  count: 2\n  existing: true\n  pods:\n  - {namespace: x, name: a, uid: b}",
            "line 6: pods: one pod cannot be on several nodes",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  pods:\n  - {namespace: X, owner: Deployment/a}",
            "line 5: namespace: 'X' is not a namespace",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  expect:\n"
            "  - {namespace: x, owner: Deployment/a, requests: {cpu: -1}, count: 0}",
            "line 5: count: 0 is too small, at least 1",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  expect:\n"
            "  - {namespace: x, owner: Deployment/a, requests: {cpu: -1}}",
            "line 5: requests.cpu: -1 is not 0 or more",
        ),
        ("nodes:\n- {name: 'n-{}', count: 5001, existing: true}", "line 2: count: is too large, at most 5000"),
        (
            "nodes:\n- name: n\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  profile: late",
            "line 4: profile: late must identify the Node when it registers: give providerID, nodeClaim or matchLabels",
        ),
        (
            "nodes:\n- name: n\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  profile: aws\n  nodeClaim: c",
            "line 4: profile: nodeClaim and matchLabels are for profile late, not for aws",
        ),
        (
            "nodes:\n- name: n\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  profile: late\n"
            "  matchLabels:\n    a b: c",
            "line 6: matchLabels[a b]: 'a b' is not a key",
        ),
        (
            "nodes:\n- name: n-{}\n  count: 2\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  profile: late\n"
            "  nodeClaim: c",
            "line 6: nodeClaim: it belongs to one machine, and count asks for 2",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  allowNewZone: true",
            "line 4: allowNewZone: not for an existing node, it has its own",
        ),
        (
            "templates:\n  m: {allocatable: {cpu: 1, memory: 1, pods: 1}}\nnodes:\n- name: n\n  template: m\n"
            "  staticPods: {cpu: 2}",
            "line 6: staticPods.cpu: 2 is more than what is promised: allocatable has 1",
        ),
        (
            f"nodes:\n- name: n{63 * 'x'}\n  allocatable: {{cpu: 1, memory: 1, pods: 1}}",
            "line 2: name: has 64 characters: its kubelet could not register, because its label kubernetes.io/hostname "
            "takes 63; use a shorter name, or start the kubelet with --node-labels=kubernetes.io/hostname=NAME",
        ),
        (
            f"nodes:\n- name: {61 * 'x'}-{{}}\n  count: 10\n  allocatable: {{cpu: 1, memory: 1, pods: 1}}",
            "line 2: name: has 64 characters",
        ),
        (
            "nodes:\n- name: n-{}\n  count: 2\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  providerID: i-1",
            "line 5: providerID: it belongs to one machine, and count asks for 2",
        ),
        (
            "nodes:\n- name: a\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  providerID: i-1\n"
            "- name: b\n  allocatable: {cpu: 1, memory: 1, pods: 1}\n  providerID: i-1",
            "line 7: providerID: i-1 is the instance of another node already, in line 4",
        ),
        (
            "nodes:\n- name: n\n  existing: true\n  matchLabels: {a: b}",
            "line 4: matchLabels: not for an existing node, it has its own",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, mistake: str) -> None:
    found = _mistakes(text)
    assert any(each.startswith(mistake) for each in found), found


def test_every_mistake_is_said_at_once() -> None:
    assert len(_mistakes("plann: x\ndeadline: 7\nnodes: [{nam: x}]")) == 4


def test_files_that_are_too_much() -> None:
    assert "nested too deeply" in _mistakes("[\n" * 5000)[0]
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
    )
    assert "too large with its aliases" in _mistakes(bomb)[0]
    assert "too large with its aliases" in _mistakes("a: &a [*a]")[0]
    assert "at most" in _mistakes("#" * (9 << 20))[0]
    with pytest.raises(FileMistakes, match="line 2: is not UTF-8"):
        planfile.read("x", b"a: b\nc: \xff")


@given(st.text(max_size=60))
def test_any_text_is_a_plan_or_has_mistakes(text: str) -> None:
    _tolerated(text)


@given(st.data())
def test_any_damage_to_a_plan_is_a_plan_or_has_mistakes(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 20)))
    text = GOOD[:start] + data.draw(st.text("abc01:-{}[],&*!#'\"\n \t", max_size=5)) + GOOD[end:]
    _tolerated(text)


def _tolerated(text: str) -> None:
    """No other error than the one that names the mistake."""
    mistakes = []
    try:
        _read(text)
    except FileMistakes as error:
        mistakes = [mistake.sentence for mistake in error.mistakes]
        mistakes = mistakes or [""]
    assert all(mistakes)


# --- the schema ---


def _schemas(schema: object, path: str = "") -> list[tuple[str, dict[str, object]]]:
    found = []
    if isinstance(schema, dict):
        if "type" in schema or "enum" in schema:
            found.append((path, schema))
        for key, value in schema.items():
            if key in ("properties", "definitions"):
                for name, below in value.items():
                    found += _schemas(below, f"{path}.{name}")
    return found


def test_the_schema_is_closed_described_and_has_examples_that_are_right() -> None:
    schema = json.loads(generator.schema())
    Draft7Validator.check_schema(schema)
    Draft202012Validator.check_schema({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    for path, part in _schemas(schema):
        assert part.get("description"), path
        assert path == "" or part.get("examples"), path
        if part.get("type") == "object":
            assert "additionalProperties" in part, path
        for example in part.get("examples", ()):  # type: ignore[attr-defined]
            errors = list(Draft7Validator({**part, "definitions": schema["definitions"]}).iter_errors(example))
            assert not errors, (path, example)
    assert "format" not in generator.schema()


# --- the file as it changes ---


def test_a_file_is_read_again_only_when_its_content_changes(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    source = PlanFile(path)
    first = source.load()
    assert source.changed() is None
    os.utime(path, ns=(1, 1))
    assert source.changed() is None  # another time, the same content
    path.write_text(GOOD.replace("5m", "6m"))
    second = source.changed()
    assert second is not None
    assert (second.lasting, second.digest != first.digest) == (timedelta(minutes=6), True)


def test_a_broken_file_is_told_once_and_a_right_one_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(GOOD)
    source = PlanFile(path)
    source.load()
    path.write_text("plann: x")
    with pytest.raises(FileMistakes, match="line 1: unknown field 'plann'; did you mean plan"):
        source.changed()
    assert source.changed() is None
    path.unlink()
    with pytest.raises(FileMistakes, match="cannot be read: No such file"):
        source.changed()
    assert source.changed() is None
    path.write_text(GOOD)
    assert source.changed() is not None


def test_a_config_map_is_followed_through_its_links(tmp_path: Path) -> None:
    for name, text in (("one", GOOD), ("two", GOOD.replace("5m", "6m"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.yaml").write_text(text)
    (tmp_path / "data").symlink_to("one")
    path = tmp_path / "plan.yaml"
    path.symlink_to("data/plan.yaml")
    source = PlanFile(path)
    source.load()
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "data")
    changed = source.changed()
    assert changed is not None
    assert changed.lasting == timedelta(minutes=6)
