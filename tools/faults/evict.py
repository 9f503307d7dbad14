"""Kills the evictor, the API server or a kubelet at random moments of a drain. No workload may lose its floor.

``python -m tools.faults.evict [MOMENTS [SEED]] [--victim NAME]``: each moment is a cluster at low use that the evictor
empties. At its end each node is either empty or rolled back with a reason, whatever was killed. Two faults kill
nothing: ``stop`` ends the evictor and starts it again, and ``rights`` removes its rights for a while.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import msgspec

from moorage.drain import Phase
from moorage.drain.names import DRAIN_ANNOTATION, SOFT_TAINT
from moorage.kube import credentials
from moorage.kube.http.transport import Transport
from moorage.ops.aio import run_command
from tools.auditlog import Mark as Place
from tools.localcluster import ClusterError
from tools.localcluster.components import API_SERVER
from tools.toolchain import ensure

from .moments import Moment, Played, Story, main
from .seen import UNDER_WAY, Seen, mark
from .shop import ACCOUNT, APPS, PATIENCE, US, Gone, Shop, until

EVICTOR, API, KUBELET = "evictor", "apiserver", "kubelet"
STOP, RIGHTS = "stop", "rights"
VICTIMS = (EVICTOR, API, KUBELET, STOP, RIGHTS)
LATEST = 20.0
"""Seconds that an undisturbed drain takes, from its first mark."""
STEADY = 3.0
"""Seconds for which the state must not change at the end."""
WITHOUT = 20.0
"""Seconds without rights."""
LONGEST = 300.0
"""Longest time for all drains together, in seconds."""
_OF_KUBELETS = "node.kubernetes.io/"
_ROLLED_BACK = "RolledBack"
_QUIET = ("moorage.kube.cache",)
"""Loggers whose lines are not shown at the end."""


def play(shop: Shop, moment: Moment) -> Played:
    """Run one story.

    Args:
        shop: the cluster; it has hollow kubelets if the victim is a kubelet.
        moment: the victim, and the time of the fault after the first mark on a node.
    """
    shop.open()
    try:
        return run_command(lambda: _Playing(shop, moment).play())
    finally:
        shop.close()


class _Playing:
    def __init__(self, shop: Shop, moment: Moment) -> None:
        self._shop, self._moment = shop, moment
        self._evictor = shop.evictor()
        self._story: list[str] = []
        self._problems: list[str] = []
        self._lives = 0
        """Number of lines of the evictor's log when its newest process started."""

    async def play(self) -> Played:
        access = credentials.load(self._shop.cluster.kubeconfig)
        audit = Place.now(self._shop.cluster.audit_log)
        problems = self._problems
        async with Transport(access) as transport:
            seen = Seen(transport, {app.name: app.floor for app in APPS})
            async with seen.following():
                try:
                    await self._drained(seen)
                except Gone as error:
                    problems.append(str(error))
                finally:
                    self._evictor.process.kill()
                problems += seen.wrong
                self._story += [f"{name}: {each}" for name, each in sorted(seen.marks().items())]
        problems += _twice(audit)
        log = [_line(each) for each in self._evictor.said() if each.get("logger") not in _QUIET]
        return Played(not problems, [*problems, *self._story, *log])

    async def _drained(self, seen: Seen) -> None:
        self._evictor.process.start()
        if not await seen.begun(PATIENCE):
            raise Gone("no drain began")
        await asyncio.sleep(self._moment.at)
        await asyncio.to_thread(self._strike, seen)
        await asyncio.to_thread(until, lambda: self._at_rest(seen), "the drains to end", LONGEST)
        await asyncio.sleep(STEADY)
        await asyncio.to_thread(until, lambda: self._at_rest(seen), "the drains to end", LONGEST)
        self._ended(await asyncio.to_thread(self._evictor.stop))
        self._problems += self._judge(seen)

    # --- the fault ---

    def _strike(self, seen: Seen) -> None:
        """Inject the fault, and start again what nothing else starts."""
        cluster, victim = self._shop.cluster, self._moment.victim
        what = victim if victim in (STOP, RIGHTS) else f"kill -9 of {victim}"
        self._story.append(f"{what} at {self._moment.at:.2f} s; marks then: {_phases(seen)}")
        if victim == EVICTOR:
            self._evictor.process.kill()
            self._start_evictor()
        elif victim == STOP:
            self._ended(self._evictor.stop())
            self._problems += [f"{name} is not being drained: {each}" for name, each in self._left()]
            self._start_evictor()
        elif victim == RIGHTS:
            self._shop.revoke()
            time.sleep(WITHOUT)
            self._shop.grant()
        elif victim == API:
            cluster.kill(API_SERVER)
            self._start_api_server()
        else:
            name = seen.dead = self._kubelet(seen)
            self._story.append(f"its node is {name}")
            cluster.kill_hollow_kubelet(name)
            until(lambda: not _ready(self._shop.node(name)), f"node {name} to be NotReady")
            until(lambda: all(_leaves(each) for each in self._shop.pods() if _on(each) == name), "its pods to leave")

    def _start_evictor(self) -> None:
        self._lives = len(list(self._evictor.said()))
        self._evictor.process.start()

    def _ended(self, code: int | None) -> None:
        if code:
            self._problems.append(f"the evictor exited with code {code}")

    def _left(self) -> Iterator[tuple[str, str]]:
        """Nodes that are cordoned or have an unfinished mark, and that no drain is responsible for."""
        for name in self._shop.nodes:
            node = self._shop.node(name)
            found = node["metadata"].get("annotations", {}).get(DRAIN_ANNOTATION, "")
            if node["spec"].get("unschedulable") or any(f'"{each.value}"' in found for each in UNDER_WAY):
                yield name, found

    def _start_api_server(self) -> None:
        """Start the evictor until it stays. On a busy machine it may exit when its first requests time out."""
        for last in (False, False, True):
            try:
                self._shop.cluster.restart(API_SERVER)
            except ClusterError as error:
                if last:
                    raise
                self._story.append(f"the evictor is started again: {error}")
            else:
                return

    def _kubelet(self, seen: Seen) -> str:
        """The node whose kubelet is killed: by turns a node in drain, if there is one, and any node."""
        number = round(self._moment.at * 100)
        drained = sorted(name for name, each in seen.marks().items() if each.phase is Phase.DRAINING)
        among = drained if drained and number % 2 else self._shop.nodes
        return among[number // 2 % len(among)]

    # --- the end ---

    def _at_rest(self, seen: Seen) -> bool:
        """Whether no work is left, and the running evictor reports so."""
        if not self._evictor.process.running:
            raise Gone(f"the evictor exited with code {self._evictor.process.exit_code}")
        looks = [each for each in list(self._evictor.said())[self._lives :] if each["message"] == "cluster evaluated"]
        under_way = any(each.phase in UNDER_WAY for each in seen.marks().values())
        if not looks or looks[-1]["chosen"] or under_way or not self._shop.complete():
            return False
        status = self._shop.status()
        acting = [each for each in status.get("conditions", ()) if each["type"] == "Acting"]
        return bool(acting) and acting[0]["reason"] == "Idle" and status["lastCycle"]["going"] == 0

    def _judge(self, seen: Seen) -> Iterator[str]:
        rolled_back = [each for each in self._evictor.said() if each.get("state") == _ROLLED_BACK]
        notes = {each["node"]: each["note"] for each in rolled_back}
        for node in seen.nodes():
            name, found = node.metadata.name, mark(node)
            phase = found.phase if found is not None else None
            if node.spec.unschedulable:
                yield f"{name} is still cordoned: {found}"
            ours = [each for each in node.spec.taints if not each.key.startswith(_OF_KUBELETS)]
            if any(each.key != SOFT_TAINT.key for each in ours) or bool(ours) != (phase is Phase.EMPTIED):
                yield f"{name} has the taints {ours}: {found}"
            if found is not None and found.by != US:
                yield f"{name} was drained by {found.by}"
            if name in seen.drained and phase not in (Phase.EMPTIED, Phase.ROLLED_BACK, Phase.HANDED_BACK):
                yield f"the drain of {name} has not ended: {found}"
            if found is not None and found.phase.over and not found.reason:
                yield f"{name} was rolled back without a reason"
            if phase is Phase.ROLLED_BACK and name not in notes and self._moment.victim != EVICTOR:
                yield f"no log line reports that {name} was rolled back"
        missing = [each for each in self._evictor.said() if each.get("reason") == "RIGHTS"]
        if len(missing) > 2 or (missing and self._moment.victim != RIGHTS):  # of nodes, and of evictions
            yield f"a missing right was logged {len(missing)} times"
        for each in self._evictor.said():
            if each["level"] in ("error", "critical"):
                yield f"the evictor logged: {_line(each)}"


def _twice(audit: Place) -> Iterator[str]:
    """Pods with another eviction or deletion after they were evicted. Pod names are never reused."""
    gone, again = set[str](), Counter[str]()
    for line in audit.lines():
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.DecodeError:
            continue  # the last line, cut off when the API server was killed
        if (event.stage, event.user.username, event.object.subresource) == ("ResponseComplete", ACCOUNT, "eviction"):
            again[event.object.name] += event.object.name in gone
            if event.response.code < 300:
                gone.add(event.object.name)
    for name, count in again.items():
        if count:
            yield f"pod {name} was evicted, and evicted or deleted {count} times more"


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Object(msgspec.Struct, frozen=True):
    subresource: str = ""
    name: str = ""


class _Response(msgspec.Struct, frozen=True):
    code: int = 0


class _Event(msgspec.Struct, frozen=True):
    """The fields that are read from an audit event."""

    stage: str = ""
    user: _User = _User()
    object: _Object = msgspec.field(default=_Object(), name="objectRef")
    response: _Response = msgspec.field(default=_Response(), name="responseStatus")


def _phases(seen: Seen) -> str:
    return ", ".join(f"{name} {each.phase.value}" for name, each in sorted(seen.marks().items())) or "none"


def _line(entry: dict[str, object]) -> str:
    fields = {key: each for key, each in entry.items() if key not in ("time", "level", "logger", "message")}
    return f"{entry.get('time', '')} {entry['level']} {entry['message']} {fields or ''}"


def _ready(node: dict[str, object]) -> bool:
    status = node["status"]
    conditions = status.get("conditions", ()) if isinstance(status, dict) else ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _on(pod: dict[str, object]) -> object:
    spec = pod["spec"]
    return spec.get("nodeName") if isinstance(spec, dict) else None


def _leaves(pod: dict[str, object]) -> bool:
    meta = pod["metadata"]
    return isinstance(meta, dict) and "deletionTimestamp" in meta


class Shops:
    """Both kinds of cluster, created on first use; a context manager."""

    def __init__(self) -> None:
        self._open: dict[bool, Shop] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def play(self, moment: Moment) -> Played:
        """Run one story on the cluster that has its victim."""
        hollow = moment.victim == KUBELET
        if hollow not in self._open:
            self._open[hollow] = self._stack.enter_context(Shop(hollow=hollow))
        return play(self._open[hollow], moment)


def run(argv: Sequence[str] | None = None) -> int:
    """Run all moments. Returns 0 if every workload kept its floor and no drain is unfinished."""
    ensure(["demo"])
    logging.getLogger("moorage").addHandler(logging.NullHandler())  # errors of our own watch are expected here
    about = (__doc__ or "").partition("\n")[0]
    with Shops() as shops:
        return main(Story("faults:evict", about, VICTIMS, LATEST, shops.play, "peace", "WRONG"), argv)


if __name__ == "__main__":
    sys.exit(run())
