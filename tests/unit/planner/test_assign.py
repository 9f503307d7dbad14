"""The assignment of pods to nodes: always the same, and no pod loses its node."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Container, ObjectMeta, OwnerReference, Pod, PodSpec, PodStatus, ResourceRequirements
from moorage.planner import planfile
from moorage.planner.assign import Assigner, top_owner
from moorage.planner.plan import Plan
from moorage.protocol import Owner


def _pod(number: int, app: str = "web", *, node: str = "", cpu: str = "500m", phase: str = "Pending") -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=f"{app}-abc12-{number:05d}",
            namespace="shop",
            uid=f"{app}-{number}",
            creation_timestamp=f"2026-01-01T00:00:{number % 60:02d}Z",
            labels={"app": app, "pod-template-hash": "abc12"},
            owner_references=(OwnerReference("apps/v1", "ReplicaSet", f"{app}-abc12", f"rs-{app}", controller=True),),
        ),
        spec=PodSpec(
            node_name=node, containers=(Container("c", ResourceRequirements(requests={"cpu": cpu, "memory": "64Mi"})),)
        ),
        status=PodStatus(phase=phase),
    )


def _plan(text: str) -> Plan:
    machine = "templates: {m: {allocatable: {cpu: 2, memory: 4Gi, pods: 10}}}\n"
    return planfile.read("plan.yaml", (machine + text).encode())


def _places(assigner: Assigner) -> Counter[str]:
    return Counter(assigner.decided.values())


THREE = "nodes:\n- {name: 'n-{}', count: 3, template: m, pods: [{namespace: shop, owner: Deployment/web, count: 4}]}"


def test_the_deployment_of_a_pod_is_told_by_the_names_it_is_made_of() -> None:
    assert top_owner(_pod(1)) == Owner("Deployment", "shop", "web")
    assert top_owner(Pod()) is None


def test_entries_are_served_in_order_oldest_pods_first() -> None:
    pods = [_pod(number) for number in range(10)]
    random.Random(1).shuffle(pods)
    assigner = Assigner(_plan(THREE))
    pins = dict(assigner.update(pods))
    assert {node: [ref.uid for ref in refs] for node, refs in pins.items()} == {
        "n-1": ["web-0", "web-1", "web-2", "web-3"],
        "n-2": ["web-4", "web-5", "web-6", "web-7"],
        "n-3": ["web-8", "web-9"],
    }
    assert [str(each) for each in assigner.lacking] == ["node n-3, line 3: 4 × Deployment/web in shop: 2 found"]
    assert assigner.update(pods) == []  # nothing is said twice


def test_pods_that_come_later_take_the_places_left() -> None:
    assigner = Assigner(_plan(THREE))
    pods = [_pod(number) for number in range(10)]
    assigner.update(pods)
    assert [
        (node, [ref.uid for ref in refs]) for node, refs in assigner.update([*pods, _pod(10), _pod(11), _pod(12)])
    ] == [("n-3", ["web-10", "web-11"])]
    assert assigner.lacking == ()


def test_a_pod_that_is_gone_or_runs_elsewhere_makes_room_for_another() -> None:
    assigner = Assigner(_plan(THREE))
    pods = [_pod(number) for number in range(12)]
    assigner.update(pods)
    changed = [*pods[2:], _pod(1, node="elsewhere"), _pod(12), _pod(13), _pod(14)]
    assert [(node, [ref.uid for ref in refs]) for node, refs in assigner.update(changed)] == [
        ("n-1", ["web-12", "web-13"])
    ]


def test_pods_that_end_or_are_deleted_are_not_planned() -> None:
    ended = [_pod(1, phase="Failed"), _pod(2, phase="Succeeded")]
    assert Assigner(_plan(THREE)).update(ended) == []


@given(st.integers(0, 12), st.integers(0, 12), st.randoms())
def test_a_planner_that_starts_again_decides_the_same(known: int, bound: int, rng: random.Random) -> None:
    """Whatever the first one has had carried out: some pods bound, some held by reservations, the rest pending."""
    pods = [_pod(number) for number in range(12)]
    first = Assigner(_plan(THREE))
    first.update(pods)
    decided = first.decided
    order = list(pods)
    rng.shuffle(order)
    now = [_pod(int(pod.metadata.uid[4:]), node=decided[pod.metadata.uid]) for pod in order[:bound]] + order[bound:]
    before = {pod.metadata.uid: decided[pod.metadata.uid] for pod in rng.sample(pods, known)}
    second = Assigner(_plan(THREE), before)
    pins = second.update(now)
    assert _places(second) == _places(first) == Counter({"n-1": 4, "n-2": 4, "n-3": 4})
    assert all(second.decided[uid] == node for uid, node in before.items())
    assert all(second.decided[pod.metadata.uid] == pod.spec.node_name for pod in now if pod.spec.node_name)
    assert sum(len(refs) for _, refs in pins) == 12  # bound ones, too: the answer to them is at once "done"


def test_named_pods_need_no_cluster_and_are_taken_by_nobody_else() -> None:
    plan = _plan(
        "nodes:\n"
        "- {name: a, template: m, pods: [{namespace: shop, owner: Deployment/web}]}\n"
        "- {name: b, template: m, pods: [{namespace: shop, name: web-abc12-00000, uid: web-0}]}"
    )
    alone = Assigner(plan)
    assert [(node, [ref.uid for ref in refs]) for node, refs in alone.update(())] == [("b", ["web-0"])]
    assert [(node, [ref.uid for ref in refs]) for node, refs in alone.update([_pod(0), _pod(1)])] == [("a", ["web-1"])]


def test_a_name_without_uid_is_looked_up() -> None:
    plan = _plan("nodes: [{name: a, template: m, pods: [{namespace: shop, name: web-abc12-00003}]}]")
    assert Assigner(plan).update([_pod(2), _pod(3)])[0][1][0].uid == "web-3"


def test_fill_follows_the_order_of_nodes_and_stops_where_the_room_ends() -> None:
    plan = _plan(
        "nodes: [{name: 'n-{}', count: 3, template: m}, {name: r, existing: true}]\n"
        "fill: [{namespace: shop, owner: Deployment/web}, {namespace: shop, labels: {app: api}, perNode: 1}]"
    )
    assigner = Assigner(plan)
    assigner.update([_pod(number) for number in range(6)] + [_pod(number, "api", cpu="100m") for number in range(5)])
    by_app: dict[str, Counter[str]] = {"web": Counter(), "api": Counter()}
    for uid, node in assigner.decided.items():
        by_app[uid.partition("-")[0]][node] += 1
    assert by_app["web"] == {"n-1": 4, "n-2": 2}  # 2 cores, half a core each
    assert by_app["api"] == {"n-2": 1, "n-3": 1}  # no room on n-1


def test_what_is_expected_and_who_is_there_already_leave_less_room() -> None:
    plan = _plan(
        "nodes: [{name: n, template: m, expect: [{namespace: shop, owner: Deployment/db, requests: {cpu: 500m}}]}]\n"
        "fill: [{namespace: shop, owner: Deployment/web}]"
    )
    assigner = Assigner(plan)
    assigner.update([_pod(100, "other", node="n", cpu="1"), *(_pod(number) for number in range(4))])
    assert _places(assigner) == {"n": 1}


def test_what_static_pods_will_take_is_not_filled() -> None:
    nodes = "nodes: [{name: n, template: m, staticPods: {cpu: 600m, pods: 1}}]\n"
    assigner = Assigner(_plan(nodes + "fill: [{namespace: shop, owner: Deployment/web}]"))
    assigner.update(_pod(number) for number in range(9))
    assert _places(assigner) == {"n": 2}


def test_a_pod_that_cannot_be_read_fills_nothing() -> None:
    plan = _plan("nodes: [{name: n, template: m}]\nfill: [{namespace: shop, owner: Deployment/web}]")
    assert Assigner(plan).update([_pod(1, cpu="many")]) == []


def test_more_than_a_thousand_pods_of_one_node_come_in_parts() -> None:
    text = "nodes: [{name: r, existing: true, pods: [%s]}]"
    entries = ", ".join("{namespace: shop, owner: Deployment/web, count: 600}" for _ in range(3))
    pins = Assigner(_plan(text % entries)).update(_pod(number) for number in range(1500))
    assert [len(refs) for _, refs in pins] == [1000, 500]


def test_thousands_of_pods_for_hundreds_of_nodes() -> None:
    text = (
        "nodes: [{name: 'n-{}', count: 500, template: m, pods: [{namespace: shop, owner: Deployment/web, count: 10}]}]"
    )
    pods: Iterable[Pod] = [_pod(number, cpu="10m") for number in range(5000)]
    assigner = Assigner(_plan(text))
    assert sum(len(refs) for _, refs in assigner.update(pods)) == 5000
    assert set(_places(assigner).values()) == {10}


LATE = (
    "nodes:\n- {name: 'n-{}', count: 2, template: m, profile: late, matchLabels: {a: b}, "
    "pods: [{namespace: shop, owner: Deployment/web, count: 4}]}"
)


def test_pods_on_nodes_that_are_called_otherwise_keep_their_places() -> None:
    pods = [_pod(number) for number in range(12)]
    assigner = Assigner(_plan(LATE))
    assigner.update(pods)
    decided = assigner.decided
    machine = {"n-1": "machine-a", "n-2": "machine-b"}
    bound = [_pod(number, node=machine.get(decided.get(f"web-{number}", ""), "")) for number in range(12)]
    assert assigner.update(bound) == []
    assert assigner.decided == decided
    later = Assigner(_plan(LATE), decided)
    assert {node: len(refs) for node, refs in later.update(bound)} == {"n-1": 4, "n-2": 4}
    assert later.decided == decided


def test_pods_on_other_machines_than_planned_are_replaced_where_these_are_called_as_planned() -> None:
    assigner = Assigner(_plan(THREE))
    assigner.update([_pod(number) for number in range(12)])
    elsewhere = [_pod(0, node="elsewhere"), *(_pod(number) for number in range(1, 13))]
    ((node, (ref,)),) = assigner.update(elsewhere)
    assert (node, ref.uid) == ("n-1", "web-12")
