"""The verdict: compares the plan with the API server's final state and with every revision on the way."""

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
    """The end of ``moorage planner --once``.

    Attributes:
        code: its exit code.
        trouble: the failures that it reports.
        late: what did not happen in time after it; empty if all did.
    """

    code: int
    trouble: tuple[str, ...] = ()
    late: str = ""

    @classmethod
    def read(cls, code: int, log: str) -> Planner:
        """From its exit code and its output."""
        for line in reversed(log.splitlines()):
            with suppress(ValueError):
                found = json.loads(line)
                if found.get("event") == "summary":
                    return cls(code, tuple(found["trouble"]))
        return cls(code, ("it has written no summary",))

    @property
    def problems(self) -> Iterator[str]:
        """The problems, one sentence each."""
        if self.code or self.trouble:
            yield f"moorage planner ended with {self.code}: {'; '.join(self.trouble) or 'no reason is given'}"
        if self.late:
            yield self.late


@dataclass(frozen=True)
class Outcome:
    """The checked end of the rebalancing demo.

    Attributes:
        old_nodes: number of nodes to be emptied.
        empty: how many of them are empty.
        new_nodes: number of nodes in the plan.
        filled: how many of them are Ready, open, and have pods.
        slots: number of expected pods.
        by: number of filled slots, by what filled them.
        unasked: number of pods that were created while no webhook was registered. As many slots may be left.
        devices: number of pods that request a device.
        nominated: how many of them run on the node to which the pinner nominated them.
        evicted: number of pods that left their nodes.
        workloads: results by name.
        takeover: seconds from the kill of the leader until another replica holds the Lease.
        silence: seconds until the webhook of that replica is registered.
        placement: node by pod, from the API server.
        problems: differences from the plan, one sentence each; empty if there are none.
        seconds: duration of the story without the start of the control plane.
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
        """The number of slots that are not filled."""
        return self.slots - sum(self.by.values())

    @property
    def sentences(self) -> Sequence[str]:
        """The checked facts, if there are no problems."""
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
        client: for reading.
        state: the events of the story.
        scenario: the plan.
        placeholders: uid by name of each placeholder Node.
        planner: the end of the planner.

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
    """The verdict about the pods and nodes at the end; see ``verify``."""
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
    """The problem of a node that was to be emptied, or an empty text."""
    if node is None:
        return f"node {name} does not exist, but should have stayed"
    if name in used:
        return f"node {name} still has pods"
    if node.spec.unschedulable:
        return f"node {name} is left cordoned"
    if node_state(node) is not Going.EMPTY or not soft_tainted(node):
        return f"node {name} is {node_state(node).value}, and not marked as empty"
    return ""


def _new_problem(node: Node | None, name: str, placeholders: Mapping[str, str], used: set[str]) -> str:
    """The problem of a node of the plan, or an empty text."""
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
    """Each slot is filled by at most one pod. It may be free if a pod came while no webhook was registered."""
    left, unasked = scenario.slots - taken, len(state.unasked)
    if left > unasked:
        yield f"{left} of {scenario.slots} slots are free, but only {unasked} pods came while no webhook was registered"
    slots = {(target.name, app): count for target in scenario.targets for app, count in target.slots.items()}
    meant = Counter((_meant_for(pod), _app(pod)) for pod in pods if _app(pod) != scenario.trainer.name)
    for (node, app), count in meant.items():
        if node and count > slots.get((node, app), 0):
            yield f"{count} pods of {app} were meant for {node}, where {slots.get((node, app), 0)} were expected"


def _meant_for(pod: Pod) -> str:
    """The node that the pinner has bound the pod to, or made the scheduler prefer. Empty if there is none."""
    if PIN_ANNOTATION in pod.metadata.annotations:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity is not None else ()
    return next((field.values[0] for term in terms for field in term.preference.match_fields), "")


def _device_problems(pods: Sequence[Pod], state: State, scenario: Scenario) -> Iterator[str]:
    """Each pod that requests a device is on its nominated node, and no node has more of them than devices."""
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
        yield f"no replica has taken over from {state.killed.replica}"
    elif state.served_again is None:
        yield f"the API server was not told to ask the replica that took over from {state.killed.replica}"
    elif len(state.evicted) == state.evicted_before:
        yield f"no pod was evicted after {state.killed.replica} was killed: that was not in the middle"
