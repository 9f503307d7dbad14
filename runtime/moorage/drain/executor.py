"""Makes one step, only as the leader and only to the intended object, and records the result at once.

No step is made twice. A write to a node is in ``Attempts``, and an eviction is in ``Evictions``, from the moment it
starts. If a response is lost, the object is read before anything else is done to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moorage.controller.fence import Fence, NotLeading
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod

from . import answers, names, patches
from .answers import Answer, Meaning
from .attempts import Attempts
from .cached_cluster import CachedCluster
from .evictions import Evictions
from .names import Phase
from .reasons import Finding, Reason
from .steps import Begin, Evict, HandBack, LookAtNode, LookAtPod, MarkEmptied, NodeStep, RollBack, SoftTaint, Step

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """A step that was made or refused, for people.

    Attributes:
        step: the step.
        refused: why it was refused; None when it was made.
    """

    step: Step
    refused: Finding | None = None


class Executor:
    """Makes steps.

    Args:
        client: the API server. It must not wait when flow control rejects a request (``patience`` 0).
        fence: limits requests, and lets only the leader write.
        cached: records all writes.
        evictions: the evictions of the term.
        attempts: the writes to nodes of the term.
        by: the id of our installation.
        now: returns the API server's time.
        tell: is called with each step, for Events and reports.

    Attributes:
        errors: failures of the API server in a row. Only a write that it answers resets this.
        doubtful: nodes for which the result of our last write is unknown.
    """

    def __init__(
        self,
        client: Client,
        fence: Fence,
        cached: CachedCluster,
        evictions: Evictions,
        attempts: Attempts,
        by: str,
        now: Callable[[], datetime],
        tell: Callable[[News], object] = lambda _: None,
    ) -> None:
        self.errors = 0
        self.doubtful: set[str] = set()
        self._client = client
        self._fence = fence
        self._cached = cached
        self._evictions, self._attempts = evictions, attempts
        self._by = by
        self._now = now
        self._tell = tell

    async def ready(self) -> None:
        """Wait until a step could be made at once, because a decision becomes outdated while it waits."""
        await self._fence.turn()

    def begin(self, step: Step) -> None:
        """A step starts. ``run`` must follow."""
        match step:
            case Evict(pod):
                self._evictions.requested(pod)
            case LookAtPod(pod):
                self._evictions.looking(pod)
            case _:
                self._attempts.begun(step)

    async def run(self, step: Step, cycle: str) -> None:
        """Make a step that has started, and record its result.

        Args:
            step: a step of a batch.
            cycle: the id of its cycle.

        Raises:
            NotLeading: this replica is not the leader any more; nothing was written.
        """
        match step:
            case Evict(pod):
                await self._evict(step, pod)
            case LookAtPod(pod):
                await self._look_at_pod(pod)
            case LookAtNode(name):
                await self._careful(step, lambda: self._look_at_node(name))
            case _:
                await self._careful(step, lambda: self._write(step, cycle))

    def broke(self, step: Step, error: Exception) -> None:
        """A step ended with an exception of our own code. Whether it was made is unknown."""
        logger.error("step broke", extra={"step": type(step).__name__}, exc_info=error)
        text = f"{type(error).__name__}: {error}"
        match step:
            case Evict(pod):
                self._evictions.answered(pod, Answer(Meaning.UNKNOWN, text))
            case LookAtPod():
                pass
            case _:
                self._attempts.failed(step, Finding(Reason.DEFECT, text))
                if not isinstance(step, LookAtNode):
                    self.doubtful.add(step.name)

    # --- nodes ---

    async def _careful(self, step: NodeStep, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except errors.KubeError as error:
            self._node_failed(step, error)
        finally:
            self._attempts.ended(step)

    def _node_failed(self, step: NodeStep, error: errors.KubeError) -> None:
        answer = answers.read(error)
        self._count(answer)
        if not isinstance(step, LookAtNode) and answer.meaning is Meaning.UNKNOWN:
            self.doubtful.add(step.name)
        why = Finding(_NODE_TROUBLES.get(answer.meaning, Reason.NODE_REFUSED), answer.text)
        self._attempts.failed(step, why, least=answer.patience)
        self._tell(News(step, why))
        logger.debug("step failed", extra={"node": step.name, "step": type(step).__name__, "error": str(error)})

    async def _write(self, step: SoftTaint | Begin | MarkEmptied | RollBack | HandBack, cycle: str) -> None:
        changes = self._changes(step, cycle)
        if changes is None:
            self._attempts.changed(step)
            return
        try:
            node = await self._fence.patch(self._client, resources.NODES, step.node, changes)
        except (errors.Conflict, errors.NotFound):
            self.errors = 0
            self._attempts.changed(step)
            self.doubtful.add(step.name)
            await self._look_at_node(step.name)
            return
        self.errors = 0
        self._attempts.made(step, kept=patches.kept(node, changes))
        self._cached.nodes.wrote(node)
        self._tell(News(step))

    def _changes(self, step: NodeStep, cycle: str) -> dict[str, Any] | None:
        """The patch for a step; None when the node is not in the state that the step expects."""
        if isinstance(step, LookAtNode):
            return None
        node, now = step.node, self._now()
        if isinstance(step, SoftTaint):
            return patches.chosen(node, self._by, cycle, now)
        mark = names.read(node)
        if mark is None:
            return None
        match step:
            case Begin(cordon=cordon):
                return patches.begun(node, mark, now, cordon=cordon)
            case MarkEmptied():
                return patches.emptied(node, mark, now)
            case RollBack(why=why):
                return patches.given_back(node, mark, Phase.ROLLED_BACK, now, str(why))
            case HandBack(why=why):
                return patches.given_back(node, mark, Phase.HANDED_BACK, now, str(why))

    async def _look_at_node(self, name: str) -> None:
        known = self._cached.nodes.get(name)
        try:
            async with self._fence.read():
                self._cached.nodes.wrote(await self._client.get(resources.NODES, name))
        except errors.NotFound:
            if known is not None:
                self._cached.nodes.deleted(name, known.metadata.uid)
        self.doubtful.discard(name)
        self._attempts.forget(LookAtNode(name))

    # --- pods ---

    async def _evict(self, step: Evict, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._fence.write(lambda: self._client.evict(meta.name, meta.namespace, uid=meta.uid))
        except NotLeading:
            self._evictions.withdrawn(pod)
            raise
        except errors.KubeError as error:
            answer = answers.read(error)
        else:
            answer = answers.ACCEPTED
        self._count(answer)
        self._evictions.answered(pod, answer)
        known = self._evictions.known.get(meta.uid)
        if answer.meaning is Meaning.ACCEPTED or known is None:
            self._tell(News(step))
        else:
            self._tell(News(step, self._evictions.trouble(pod)))

    async def _look_at_pod(self, pod: Pod) -> None:
        """Read a pod that no watch has shown for long after its eviction."""
        meta = pod.metadata
        try:
            async with self._fence.read():
                current = await self._client.get(resources.PODS, meta.name, meta.namespace)
        except errors.NotFound:
            self._cached.pods.deleted(pod.key, meta.uid)
        except errors.KubeError as error:
            self._count(answers.read(error))
        else:
            self._cached.pods.wrote(current)
            if current.metadata.uid == meta.uid and current.metadata.deletion_timestamp is None:
                self._evictions.found(pod)

    def _count(self, answer: Answer) -> None:
        self.errors = self.errors + 1 if answer.meaning.fails else 0


_NODE_TROUBLES = {
    Meaning.NO_RIGHT: Reason.RIGHTS,
    Meaning.UNKNOWN: Reason.WRITE_FAILS,
    Meaning.UNAVAILABLE: Reason.WRITE_FAILS,
}
