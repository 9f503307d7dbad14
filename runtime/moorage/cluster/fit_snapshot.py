"""The snapshot for the fit check: promised nodes, expected DaemonSet pods, and objects that are only partly readable.

If counting an object fails, the snapshot may be half changed. It is then rebuilt from the caches without that object.
The object counts as unreadable (``moorage.kube.changes``), so that it affects only the verdicts that depend on it.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from moorage.kube.cache import Change
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import KubeObject, Node, Pod
from moorage.objects.storage import CsiNode, CsiNodeDriver
from moorage.scheduling import Snapshot, Unread

from .caches import BY_NODE, FitCaches, Latest
from .daemon_pods import DaemonPods
from .daemons import DaemonSet
from .volume_limits import limits, with_limits

logger = logging.getLogger(__name__)

TRIES = 4
"""Number of rebuilds, each without the objects that failed in the one before."""

_Id = tuple[type[KubeObject], str]


class FitSnapshot:
    """Maintains the snapshot.

    Args:
        caches: the watch caches.
        nodes: the Nodes, with our own writes on top.
        as_promised: returns the promised form of a Node, from its name and its current state; None when nothing is
            promised.
        claimed: pods that are being bound, with their node, whether or not the API server knows already.
        is_claimed: whether the pod with a key is among them.
    """

    def __init__(
        self,
        caches: FitCaches,
        nodes: Latest[Node],
        as_promised: Callable[[str, Node], Node | None],
        claimed: Callable[[], Iterable[tuple[Pod, str]]],
        is_claimed: Callable[[str], bool],
    ) -> None:
        self._caches, self._nodes = caches, nodes
        self._as_promised, self._claimed, self._is_claimed = as_promised, claimed, is_claimed
        self._unread: dict[_Id, Unreadable[Any]] = {}
        self._unread_daemons: dict[str, Unreadable[DaemonSet]] = {}
        self._only_named: set[_Id] = set()  # objects of which not even the readable fields may be counted
        self._uncounted_daemons: set[str] = set()
        self._building = False
        self.offers: dict[str, object] = {}  # node to its offer; a new object only after a change
        self._limits: dict[str, tuple[CsiNodeDriver, ...]] = {}  # node to the volumes that its promise lets it attach
        self.snapshot = Snapshot(nominated=True)
        self.coming = self._fresh_coming()

    def _fresh_coming(self) -> DaemonPods:
        return DaemonPods(self.snapshot, self._caches.daemon_sets, self._unread_daemons, self._uncounted_daemons)

    @property
    def in_doubt(self) -> bool:
        """Whether an object is not fully readable."""
        return bool(self._unread)

    def unread(self, kind: type[KubeObject], key: str) -> Unreadable[Any] | None:
        """The readable fields of an object that is not fully readable; else None."""
        return self._unread.get((kind, key))

    # --- changes ---

    def changed(self, change: Change[KubeObject]) -> None:
        """An object that is counted unchanged has changed."""
        if isinstance(change.object, CsiNode):
            self._place_csi_node(change.object.key, change.new)
        elif change.new is None:
            self.snapshot.delete(type(change.object), change.object.key)
        else:
            self.snapshot.apply(change.new)

    def daemons_changed(self, change: Change[DaemonSet]) -> None:
        """A DaemonSet has changed. Most changes are of its status, which says nothing about pods to come."""
        old, new = change.old, change.new
        if old is None or new is None or (old.metadata.uid, old.spec) != (new.metadata.uid, new.spec):
            self.coming.changed(change.object.key)

    def place_node(self, name: str) -> bool:
        """Set the current and the promised state of a Node. Returns whether its offer has changed."""
        unread = self._unread.get((Node, name))
        node = self._nodes.get(name) if unread is None else unread.rest
        promised = self._as_promised(name, node) if node is not None else None
        if promised is not None:
            node = promised
        if unread is not None:
            self._count_rest((Node, name), dataclasses.replace(unread, rest=node))
        elif node is not None:
            self.snapshot.apply(node)
        else:
            self.snapshot.delete(Node, name)
        self._limit_volumes(name, limits(promised) if promised is not None else ())
        if promised is None:
            self.coming.forget(name)
        if node is None:
            self.offers.pop(name, None)
        if promised is None or name not in self.snapshot.nodes.slots:
            return False
        offer = (
            promised.metadata.labels,
            promised.spec.taints,
            promised.spec.unschedulable,
            promised.status.allocatable,
        )
        news = self.offers.get(name) != offer
        if news:
            self.offers[name] = offer
        self.coming.node(promised, self._caches.pods.by(BY_NODE, name), count=not self._building)
        return news

    def _limit_volumes(self, name: str, promised: tuple[CsiNodeDriver, ...]) -> None:
        """A node is promised with these limits, or (none of them) with no limit."""
        if promised == self._limits.get(name, ()):
            return
        self._limits.pop(name, None)
        if promised:
            self._limits[name] = promised
        self._place_csi_node(name, self._known((CsiNode, name)))

    def _place_csi_node(self, name: str, known: KubeObject | None) -> None:
        """Count a CSINode, with the limits of the node's promise."""
        node = with_limits(name, known if isinstance(known, CsiNode) else None, self._limits.get(name, ()))
        if node is None:
            self.snapshot.delete(CsiNode, name)
        else:
            self.snapshot.apply(node)

    # --- what cannot be read ---

    def doubt(self, kind: type[KubeObject], key: str, item: Unreadable[Any]) -> bool:
        """An object is not fully readable. Returns whether that is new.

        Raises:
            Exception: the snapshot is inconsistent, and rebuilding it failed.
        """
        which = (kind, key)
        known = self._unread.get(which)
        if known is not None and known.uid != item.uid:
            self._only_named.discard(which)
        self._unread[which] = item
        if item.refused:
            self._rebuild()
        else:
            self._carefully(which, lambda: self._count_unread(which))
        return known is None or (known.uid, known.fields) != (item.uid, item.fields)

    def trust(self, kind: type[KubeObject], key: str) -> bool:
        """An object is readable again, or gone. Returns whether that is new.

        Raises:
            Exception: the snapshot is inconsistent, and rebuilding it failed.
        """
        which = (kind, key)
        if self._unread.pop(which, None) is None:
            return False
        self._only_named.discard(which)
        self._carefully(which, lambda: self._count_known(which))
        return True

    def _carefully(self, which: _Id, count: Callable[[], None]) -> None:
        try:
            count()
        except Exception as error:
            self._blame(which, error)
            self._rebuild()

    def _count_known(self, which: _Id) -> None:
        """Count an object with its cached state, which may be older than the unreadable one."""
        kind, key = which
        self.snapshot.trust(kind, key)
        if kind is DaemonSet:
            self._unread_daemons.pop(key, None)
            self._uncounted_daemons.discard(key)
            self.coming.changed(key)
        elif kind is Node:
            self.place_node(key)
        elif kind is CsiNode:
            self._place_csi_node(key, self._known(which))
        elif kind is not Pod or not self._is_claimed(key):
            known = self._known(which)
            if known is None:
                self.snapshot.delete(kind, key)
            else:
                self.snapshot.apply(known)

    def _known(self, which: _Id) -> KubeObject | None:
        """The last readable state of an object."""
        kind, key = which
        states = (cache.get(key) for cache in self._caches.all if cache.resource.type is kind)
        return next((each for each in states if each is not None), None)

    def _count_unread(self, which: _Id) -> None:
        """Count the readable fields of an object, and mark the verdicts that depend on the others as doubtful."""
        (kind, key), item = which, self._unread[which]
        if kind is DaemonSet:
            self._unread_daemons[key] = item
            if which in self._only_named:
                self._uncounted_daemons.add(key)
            self.coming.changed(key)
        elif kind is Node:
            self.place_node(key)
        elif kind is Pod:
            self._count_rest(which, dataclasses.replace(item, rest=self._on_its_node(item)))
        elif kind in {cache.resource.type for cache in self._caches.plain}:
            self._count_rest(which, item)

    def _count_rest(self, which: _Id, item: Unreadable[Any]) -> None:
        kind, key = which
        what = next(cache.resource.kind for cache in self._caches.all if cache.resource.type is kind)
        unread = Unread(item.rest, f"{what} {key}", item.fields, item.reason)
        if which in self._only_named or (kind is Pod and self._is_claimed(key)):
            self.snapshot.unread.put(key, unread)
        else:
            self.snapshot.doubt(key, unread)

    def _on_its_node(self, item: Unreadable[Pod]) -> Pod:
        """A pod with the node of its last readable state: once bound, a pod stays on its node."""
        known = self._caches.pods.get(item.key)
        if not item.lacks("spec.nodeName") or known is None or known.metadata.uid != item.uid:
            return item.rest
        spec = msgspec.structs.replace(item.rest.spec, node_name=known.spec.node_name)
        return msgspec.structs.replace(item.rest, spec=spec)

    # --- rebuilding ---

    def _rebuild(self) -> None:
        """Rebuild the snapshot from the caches, without objects for which counting fails.

        Raises:
            Exception: counting fails for too many objects.
        """
        for tried in range(1, TRIES + 1):
            self.snapshot = Snapshot(nominated=True)
            self._unread_daemons.clear()
            self._limits.clear()
            self.coming = self._fresh_coming()
            in_the_way = self._fill(last=tried == TRIES)
            if not in_the_way:
                logger.warning("fit snapshot rebuilt from the caches", extra={"unreadable": len(self._unread)})
                return
            for which, error in in_the_way:
                self._blame(which, error)

    def _fill(self, *, last: bool) -> list[tuple[_Id, Exception]]:
        """Count all objects, and return those for which that failed. In the last attempt, raise instead."""
        in_the_way: list[tuple[_Id, Exception]] = []
        self._building = True
        try:
            for which, count in self._counts():
                try:
                    count()
                except Exception as error:
                    if last:
                        raise
                    in_the_way.append((which, error))
        finally:
            self._building = False
        return in_the_way

    def _counts(self) -> Iterator[tuple[_Id, Callable[[], object]]]:
        """All objects with the function that counts each. Objects that others refer to come first."""
        caches = self._caches
        for cache in caches.plain:
            for obj in cache:
                yield from self._unless_unread(obj, lambda obj=obj: self.snapshot.apply(obj))  # type: ignore[misc]
        for node in caches.nodes:
            yield from self._unless_unread(node, lambda node=node: self.place_node(node.key))  # type: ignore[misc]
        claimed = {pod.key for pod, _ in self._claimed()}
        for pod in caches.pods:
            if pod.key not in claimed:
                yield from self._unless_unread(pod, lambda pod=pod: self.snapshot.apply(pod))  # type: ignore[misc]
        for pod, name in self._claimed():
            if name in self.snapshot.nodes.slots:
                yield (Pod, pod.key), lambda pod=pod, name=name: self.snapshot.place(pod, name)  # type: ignore[misc]
        unread = sorted(self._unread, key=lambda which: which[0] is DaemonSet)  # counting a pod needs its node
        for which in unread:
            yield which, lambda which=which: self._count_unread(which)  # type: ignore[misc]
        for daemons in caches.daemon_sets:
            yield from self._unless_unread(daemons, lambda key=daemons.key: self.coming.changed(key))  # type: ignore[misc]

    def _unless_unread(
        self, obj: KubeObject, count: Callable[[], object]
    ) -> Iterator[tuple[_Id, Callable[[], object]]]:
        which = (type(obj), obj.key)
        if which not in self._unread:
            yield which, count

    def _blame(self, which: _Id, error: Exception) -> None:
        """Exclude an object: the next snapshot holds only its names and its node, or nothing of it."""
        kind, key = which
        reason = f"{type(error).__name__}: {error}"
        logger.error("object cannot be counted", extra={"kind": kind.__name__, "object": key}, exc_info=error)
        if which in self._unread:
            self._only_named.add(which)
            return
        obj = self._known(which)
        if obj is not None:
            rest, fields = outline(obj)
            self._unread[which] = Unreadable(key, obj.metadata.uid, obj.metadata.resource_version, reason, rest, fields)
