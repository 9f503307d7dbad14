"""What came of the plan, asked from the API server itself and from every revision that was seen: the verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from moorage.drain.names import soft_tainted
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node, Pod
from moorage.pinner.names import PIN_ANNOTATION
from tools.demo import manifests
from tools.demo.check import open_problem
from tools.demo.common.floors import Floor, floor_problems, floors
from tools.demo.evictor.observe import node_state

from .events import Going
from .observe import Filled, expected, filled
from .scenario import Scenario
from .state import State

_BY = {
    "webhook": "pinned by the webhook",
    "steered": "steered by the webhook",
    "binding": "bound by the pinner",
    "scheduler": "by the scheduler alone",
}


@dataclass(frozen=True)
class Planner:
    """How ``moorage planner --once`` has ended.

    Attributes:
        code: its exit code.
        trouble: what it says did not come to be.
        late: what had not come in time afterwards; empty if all had.
    """

    code: int
    trouble: tuple[str, ...] = ()
    late: str = ""

    @classmethod
    def read(cls, code: int, log: str) -> Planner:
        """From its exit code and what it has written."""
        for line in reversed(log.splitlines()):
            with suppress(ValueError):
                found = json.loads(line)
                if found.get("event") == "summary":
                    return cls(code, tuple(found["trouble"]))
        return cls(code, ("it has written no summary",))

    @property
    def problems(self) -> Iterator[str]:
        """What is not as it should be."""
        if self.code or self.trouble:
            yield f"moorage planner ended with {self.code}: {'; '.join(self.trouble) or 'no reason is given'}"
        if self.late:
            yield self.late


@dataclass(frozen=True)
class Outcome:
    """The checked end of the rebalancing's demo.

    Attributes:
        old_nodes: how many were to be emptied.
        empty: how many of them are.
        new_nodes: how many were to come.
        filled: how many of them are Ready, open, and have pods.
        slots: how many pods were expected.
        by: how many of the slots are filled, by whom.
        unasked: how many pods were created while no webhook was asked; so many slots may be left.
        devices: how many pods wanted a device.
        nominated: how many of them run on the node that the pinner has nominated.
        evicted: how many pods left their nodes.
        workloads: by name.
        takeover: seconds from the leader's end until another replica held the Lease.
        silence: seconds until the API server was told to ask that one.
        placement: node by pod, as the API server has it.
        problems: what is not as planned, a sentence each; empty when all is well.
        seconds: what the story took, without starting the control plane.
    """

    old_nodes: int
    empty: int
    new_nodes: int
    filled: int
    slots: int
    by: Mapping[str, int]
    unasked: int
    devices: int
    nominated: int
    evicted: int
    workloads: Mapping[str, Floor]
    takeover: float | None
    silence: float | None
    placement: Mapping[str, str]
    problems: tuple[str, ...] = ()
    seconds: float = field(default=0.0)

    @property
    def left(self) -> int:
        """How many slots nobody has filled."""
        return self.slots - sum(self.by.values())

    @property
    def sentences(self) -> Sequence[str]:
        """What was checked, when all is well."""
        by = ", ".join(f"{count} {_BY[name]}" for name, count in self.by.items() if count)
        left = f", {self.left} not: {self.unasked} pods came while no replica was asked" if self.left else ""
        return (
            f"checked: {self.empty} of {self.old_nodes} old nodes are empty, all pods are on {self.filled} new ones",
            f"checked: {self.slots - self.left} of {self.slots} slots are filled: {by}{left}",
            f"checked: {self.nominated} of {self.devices} pods with GPUs run on the node to which they were nominated",
            f"checked: {self.evicted} pods evicted; at no moment was a Deployment below its floor or a "
            "PodDisruptionBudget violated, and no pod is lost, doubled or Failed",
            f"checked: another replica led {self.takeover or 0:.1f} s after the kill, and its webhook was asked "
            f"{self.silence or 0:.1f} s after it",
        )


async def verify(
    client: Client, state: State, scenario: Scenario, placeholders: Mapping[str, str], planner: Planner
) -> Outcome:
    """Compare the cluster with the plan.

    Args:
        client: reads.
        state: what was seen on the way.
        scenario: the plan.
        placeholders: uid of each placeholder Node, by name.
        planner: how it has ended.

    Raises:
        KubeError: the API server refused.
    """
    pods = await client.list(resources.PODS, manifests.NAMESPACE)
    return judged(state, scenario, pods, await client.list(resources.NODES), placeholders, planner)


def judged(
    state: State,
    scenario: Scenario,
    pods: Sequence[Pod],
    nodes: Sequence[Node],
    placeholders: Mapping[str, str],
    planner: Planner,
) -> Outcome:
    """The verdict about the pods and nodes that there are in the end; see ``verify``."""
    by_name = {node.metadata.name: node for node in nodes}
    used = {pod.spec.node_name for pod in pods}
    old = {name: _old_problem(by_name.get(name), name, used) for name in scenario.old}
    new = {each.name: _new_problem(by_name.get(each.name), each.name, placeholders, used) for each in scenario.targets}
    by = [
        filled(expected(each, scenario), [pod for pod in pods if pod.spec.node_name == each.name])
        for each in scenario.targets
    ]
    all_by = Filled(*(sum(column) for column in zip(*by, strict=True)))
    wanting = [pod for pod in pods if _app(pod) == scenario.trainer.name]
    problems = (
        *planner.problems,
        *filter(None, (*old.values(), *new.values())),
        *floor_problems(state),
        *_pod_problems(pods, state, scenario),
        *_slot_problems(sum(all_by), pods, state, scenario),
        *_device_problems(wanting, state, scenario),
        *_leader_problems(state),
    )
    return Outcome(
        old_nodes=len(old),
        empty=sum(not problem for problem in old.values()),
        new_nodes=len(new),
        filled=sum(not problem for problem in new.values()),
        slots=scenario.slots,
        by=all_by._asdict(),
        unasked=len(state.unasked),
        devices=scenario.trainer.replicas,
        nominated=sum(state.nominated.get(pod.metadata.name) == pod.spec.node_name for pod in wanting),
        evicted=len(state.evicted),
        workloads=floors(state),
        takeover=_rounded(state.takeover),
        silence=_rounded(state.silence),
        placement={pod.key: pod.spec.node_name for pod in pods},
        problems=problems,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _app(pod: Pod) -> str:
    return pod.metadata.labels.get("app", "")


def _old_problem(node: Node | None, name: str, used: set[str]) -> str:
    """What is not as it should be with a node that was to be emptied; empty when all is."""
    if node is None:
        return f"node {name} does not exist: nobody was to delete it"
    if name in used:
        return f"node {name} still has pods"
    if node.spec.unschedulable:
        return f"node {name} is left cordoned"
    if node_state(node) is not Going.EMPTY or not soft_tainted(node):
        return f"node {name} is {node_state(node).value}, and not marked as empty"
    return ""


def _new_problem(node: Node | None, name: str, placeholders: Mapping[str, str], used: set[str]) -> str:
    """The same of a node of the plan."""
    problem = open_problem(node, name, placeholders)
    return problem or ("" if name in used else f"node {name} has no pods")


def _pod_problems(pods: Sequence[Pod], state: State, scenario: Scenario) -> Iterator[str]:
    """No pod is lost, doubled or Failed, and all are on nodes of the plan."""
    there, names = Counter(map(_app, pods)), {target.name for target in scenario.targets}
    for app in (*scenario.apps, scenario.trainer):
        if there[app.name] != app.replicas:
            yield f"Deployment {app.name} has {there[app.name]} pods, and is to have {app.replicas}"
    for name in sorted(state.failed):
        yield f"pod {name} was Failed"
    for pod in pods:
        where = pod.spec.node_name or "no node"
        if where not in names:
            yield f"pod {pod.key} is on {where}, which is none of the plan's"
        if pod.status.phase != "Running":
            yield f"pod {pod.key} on {where} is {pod.status.phase or 'unknown'}, not Running"


def _slot_problems(taken: int, pods: Sequence[Pod], state: State, scenario: Scenario) -> Iterator[str]:
    """Each slot is filled, by whomever, unless a pod came while nobody could steer it; none by two pods of ours."""
    left, unasked = scenario.slots - taken, len(state.unasked)
    if left > unasked:
        yield f"{left} of {scenario.slots} slots are left, and only {unasked} pods came while nobody was asked"
    slots = {(target.name, app): count for target in scenario.targets for app, count in target.slots.items()}
    meant = Counter((_meant_for(pod), _app(pod)) for pod in pods if _app(pod) != scenario.trainer.name)
    for (node, app), count in meant.items():
        if node and count > slots.get((node, app), 0):
            yield f"{count} pods of {app} were meant for {node}, where {slots.get((node, app), 0)} were expected"


def _meant_for(pod: Pod) -> str:
    """The node that the pinner has given a pod, or has had the scheduler prefer for it; empty if there is none."""
    if PIN_ANNOTATION in pod.metadata.annotations:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity is not None else ()
    return next((field.values[0] for term in terms for field in term.preference.match_fields), "")


def _device_problems(pods: Sequence[Pod], state: State, scenario: Scenario) -> Iterator[str]:
    """Each pod that wants a device is where it was nominated to, and no node has more of them than devices."""
    for pod in pods:
        wanted, node = state.nominated.get(pod.metadata.name, ""), pod.spec.node_name
        if wanted != node or not node:
            yield f"pod {pod.key} is on {node or 'no node'}, and was nominated to {wanted or 'none'}"
    on = Counter(pod.spec.node_name for pod in pods)
    for target in scenario.targets:
        if on[target.name] > target.devices:
            yield f"node {target.name} has {on[target.name]} pods that want a device, and {target.devices} devices"


def _leader_problems(state: State) -> Iterator[str]:
    if state.killed is None:
        yield "no leader was killed"
    elif state.took_over is None:
        yield f"nobody has taken over from {state.killed.replica}"
    elif state.served_again is None:
        yield f"the API server was not told to ask the replica that took over from {state.killed.replica}"
    elif len(state.evicted) == state.evicted_before:
        yield f"no pod was evicted after {state.killed.replica} was killed: that was not in the middle"
