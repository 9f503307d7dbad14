"""Days of a pinner: actions of planners, people and networks, in any order, and then an undisturbed end."""

from __future__ import annotations

from typing import Any

from moorage.objects import Taint
from moorage.pinner.names import PREPARING
from moorage.protocol import BindWhen

from .bed import Bed
from .faults import (
    TIMEOUT,
    Effect,
    answer_too_late,
    delay,
    deny,
    fail,
    lose_answer,
    meanwhile,
    refuse_connection,
    swallow,
)
from .planner import BATCH
from .policies import POLICIES
from .refusals import Json
from .store import key_of
from .witness import THEIRS, Witness

AGENT = "example.com/agent-not-ready"
STARTING: dict[str, Any] = {
    "startup_taints": (Taint(key=AGENT, effect="NoExecute"),),
    "bind_when": BindWhen.STARTUP_TAINTS_GONE,
}
INSTANCE = "aws:///a/i-1"

EFFECTS: dict[str, Effect] = {
    "denied": deny(),
    "500": fail(500),
    "503": fail(503),
    "429": fail(429),
    "no connection": refuse_connection,
    "no answer": swallow,
    "done, answer lost": lose_answer,
    "done, answer late": answer_too_late,
    "slow": delay(3.0),
}
SILENT = ("no answer", "done, answer late")
REQUESTS = (
    ("create", "nodes"),
    ("get", "nodes"),
    ("patch", "nodes"),
    ("delete", "nodes"),
    ("create", "nodereservations"),
    ("get", "nodereservations"),
    ("update", "nodereservations"),
    ("update", "nodereservations/status"),
    ("delete", "nodereservations"),
    ("create", "pods/binding"),
    ("get", "pods"),
    ("delete", "pods"),
    ("patch", "pods/status"),
)
EVERY = ("", "")
PLURALS = ("nodes", "pods", "nodereservations")
PEACE = 200.0
"""Seconds after which all work must have ended."""
REST = 100.0
"""Seconds in which nothing may be written then."""


def _placed(pod: Json) -> None:
    pod["spec"]["nodeName"] = pod["status"].pop("nominatedNodeName")


def _not_placed(pod: Json) -> None:
    del pod["status"]["nominatedNodeName"]


class Day:
    """Does one deed after the other.

    Args:
        bed: where.
    """

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.witness = Witness(bed)
        self.late = 0.0
        self._held: list[tuple[str, str]] = []

    async def do(self, wait: float, deed: str, *args: Any) -> None:
        """Wait, then do something.

        Args:
            wait: seconds.
            deed: the name of a method below.
            args: of it.
        """
        await self._bed.run(wait)
        found = getattr(self, deed)(*args)
        if found is not None:
            await found

    async def end(self) -> None:
        """No fault is left: check the outcome, and that writes have stopped."""
        bed = self._bed
        bed.wire.faults.lift()
        bed.api.policies.clear()
        bed.wire.lag.clear()
        bed.wire.let_go()
        for plural, key in self._held:
            bed.people.let_go(plural, key)
        await bed.run(PEACE + self.late)
        wrong = self.witness.wrong(late=self.late)
        assert not wrong, f"{wrong}; {bed.story()}"
        since = bed.now()
        await bed.run(REST)
        writes = [(each.verb, each.resource, each.key, each.code) for each in bed.writes(since)]
        assert not writes, f"still writing: {writes}; {bed.story()}"

    # --- the planner ---

    def create(self, node: str, within: float) -> None:
        self._bed.planner.create(node, within=within)

    def create_late(self, node: str, within: float) -> None:
        self._bed.planner.create_late(node, within=within)

    def create_starting(self, node: str, within: float) -> None:
        """Pods are to be bound once the machine has started."""
        self._bed.planner.create(node, within=within, **STARTING)

    def create_removing(self, node: str, within: float) -> None:
        """A machine brings its Node along, with a startup taint that removes pods."""
        taints = STARTING["startup_taints"]
        self._bed.planner.create_late(node, within=within, match_labels=BATCH, startup_taints=taints)

    def create_instance(self, node: str, within: float) -> None:
        """Which instance the machine is is known, and it is the same for every node."""
        self._bed.planner.create(node, within=within, provider_id=INSTANCE)

    def pin(self, node: str, count: int, within: float) -> None:
        self._bed.planner.pin(node, *self._bed.people.pods(count), within=within)

    def pin_devices(self, node: str, count: int, within: float) -> None:
        """Pods that only the scheduler can place."""
        self._bed.planner.pin(node, *self._bed.people.pods_with_devices(count), within=within)

    def pin_again(self, node: str, within: float) -> None:
        """Pods that are there already, wherever they are."""
        pods = list(self._bed.api.store.objects["pods"].values())[-3:]
        if pods:
            self._bed.planner.pin(node, *pods, within=within)

    def delete(self, node: str, within: float) -> None:
        self._bed.planner.delete(node, within=within)

    def release(self, node: str, within: float) -> None:
        self._bed.planner.release(node, within=within)

    def expect(self, node: str, within: float) -> None:
        self._bed.planner.expect(node, 1, within=within)

    def new_epoch(self, within: float | None) -> None:
        self._bed.planner.again(within=within)

    async def crash(self) -> None:
        await self._bed.crash()

    # --- people ---

    def join(self, node: str, ready: bool) -> None:
        if self._bed.node(node) is not None:
            self._bed.people.join(node, ready=ready)

    def register(self, machine: str, guarded: bool, ready: bool) -> None:
        if self._bed.node(machine) is None:
            taints = [PREPARING] if guarded else []
            self._bed.people.register(machine, labels=BATCH, taints=taints, ready=ready)

    def register_removing(self, machine: str, ready: bool) -> None:
        if self._bed.node(machine) is None:
            self._bed.people.register(machine, labels=BATCH, ready=ready, removing=(AGENT,))

    def agent_comes(self, node: str) -> None:
        """The startup taint goes."""

        def change(found: Json) -> None:
            kept = [taint for taint in found["spec"].get("taints", ()) if taint["key"] != AGENT]
            found["spec"]["taints"] = kept

        self._bed.api.edit("nodes", node, change)

    def instance_registers(self, machine: str, ready: bool) -> None:
        """The instance has a name of its own, and nobody has told it of a pod pinner."""
        if self._bed.node(machine) is None:
            self._bed.people.register(machine, taints=(), ready=ready, providerID=INSTANCE)

    def pod_is_refused(self, node: str, reason: str) -> None:
        """The kubelet says no to a pod, or ends it before it begins."""
        for pod in self._on(node)[:1]:
            self._bed.people.fail(pod, reason)

    def publish(self, node: str, devices: int) -> None:
        self._bed.people.publish(node, devices)

    def scheduler_binds(self, node: str) -> None:
        for pod in self._nominated(node):
            self._bed.api.edit("pods", key_of(pod), _placed)

    def scheduler_fails(self, node: str) -> None:
        for pod in self._nominated(node):
            self._bed.api.edit("pods", key_of(pod), _not_placed)

    def _nominated(self, node: str) -> list[Json]:
        """One of the pods that are nominated to a node, which the scheduler takes off its queue."""
        pods = self._bed.api.store.objects["pods"].values()
        return [pod for pod in pods if pod["status"].get("nominatedNodeName") == node][:1]

    def somebody_nominates(self) -> None:
        """Somebody else nominates pods that wait, whether or not they are nominated."""
        for pod in tuple(self._bed.api.store.objects["pods"].values())[-2:]:
            if not pod["spec"].get("nodeName"):
                self._bed.api.edit("pods", key_of(pod), lambda found: found["status"].update(nominatedNodeName=THEIRS))

    def pod_fails(self, node: str) -> None:
        for pod in self._on(node)[:1]:
            self._bed.people.fail(pod)

    def pod_is_deleted(self, node: str) -> None:
        for pod in self._on(node)[:1]:
            self._bed.api.delete("pods", key_of(pod))

    def is_deleted(self, plural: str, node: str) -> None:
        if self._bed.api.read(plural, node) is not None:
            self._bed.api.delete(plural, node)

    def is_touched(self, plural: str, node: str) -> None:
        def touch(found: Json) -> None:
            labels = found["metadata"].setdefault("labels", {})
            labels["touched"] = str(int(labels.get("touched", "0")) + 1)

        self._bed.api.edit(plural, node, touch)

    def is_held(self, plural: str, node: str) -> None:
        keys = [key_of(pod) for pod in self._on(node)[:1]] if plural == "pods" else [node]
        for key in keys:
            self._bed.people.hold(plural, key)
            self._held.append((plural, key))

    def _on(self, node: str) -> list[Json]:
        pods = self._bed.api.store.objects["pods"].values()
        return [
            pod for pod in pods if pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]
        ]

    # --- the network, and the server ---

    def fault(self, effect: str, request: tuple[str, str], times: int) -> None:
        """So many requests of a kind meet a fault."""
        if effect in SILENT:
            times = min(times, 2)
            self.late += TIMEOUT * times
        self._bed.wire.faults.set(EFFECTS[effect], *request, times=times)

    def somebody_is_faster(self, request: tuple[str, str], node: str) -> None:
        plural = request[1].partition("/")[0]
        if plural in ("nodes", "nodereservations"):
            self._bed.wire.faults.set(meanwhile(lambda: self.is_touched(plural, node)), *request, times=2)

    def policy(self, name: str) -> None:
        """From now on a policy removes a part of what is written."""
        self._bed.api.policies.append(POLICIES[name])
        self.witness.blind = True

    def back_to_normal(self) -> None:
        self._bed.wire.faults.lift()
        self._bed.wire.let_go()
        self._bed.api.policies.clear()

    def watches_lag(self, plural: str, seconds: float) -> None:
        self._bed.wire.lag[plural] = seconds

    def watches_are_held(self, plural: str) -> None:
        self._bed.wire.hold(plural)

    def watches_are_cut(self, forget: bool) -> None:
        if forget:
            self._bed.wire.compact()
        else:
            self._bed.wire.cut()
