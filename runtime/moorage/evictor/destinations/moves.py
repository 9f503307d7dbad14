"""The moves of a plan in a form that the pod pinner can serve: owner, node and requests. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from moorage.evictor.candidates import View
from moorage.evictor.candidates.controllers import Controllers, Lookup, Made
from moorage.evictor.compaction import Plan
from moorage.evictor.compaction.replacements import Replacements
from moorage.objects import Pod, Quantities
from moorage.reservations import Owner, rules
from moorage.scheduling import requests

_RECREATED = frozenset((Made.REPLICATED, Made.STATEFUL_SET))
"""Whose next pod a webhook recognises by its owner, and may put on a node: it is made again whatever becomes of it."""


class ReplacementMove(NamedTuple):
    """The destination of a pod's replacement.

    Attributes:
        uid: of the pod that is evicted.
        source: its node.
        node: where the simulation puts the next one.
        replacement: the next one, as it would be made; on no node.
        owner: whose it is, as a webhook recognises it.
    """

    uid: str
    source: str
    node: str
    replacement: Pod
    owner: Owner

    @property
    def maker(self) -> str:
        """The uid of its direct owner, which creates the replacement."""
        owner = self.replacement.metadata.controller()
        return owner.uid if owner is not None else ""

    def requests(self) -> Quantities:
        """What the replacement requests."""
        try:
            asked = requests.pending(self.replacement)
        except requests.RequestError:
            return {}
        return {name: f"{units}m" if name == "cpu" else str(units) for name, units in asked.items()}


def replacement_moves(plan: Plan, view: View, templates: Mapping[str, Pod]) -> Iterator[ReplacementMove]:
    """Yield the moves whose replacements a webhook can recognise.

    Args:
        plan: what was chosen.
        view: from what.
        templates: pod templates as they are now, by the owner's uid, as far as they are known.
    """
    pods = {pod.key: pod for pod in view.pods}
    lookup, replacements = Lookup(view), Replacements(view.pods, templates)
    for emptied in plan.chosen:
        for move in emptied.moves:
            pod = pods[move.pod]
            controllers = lookup.of(pod)
            replacement = replacements.of(pod, controllers.made)
            owner = _recognised(replacement, controllers)
            if owner is not None:
                yield ReplacementMove(pod.metadata.uid, emptied.name, move.node, replacement, owner)


def _recognised(replacement: Pod, controllers: Controllers) -> Owner | None:
    """The Deployment if the pod shows it, so that any revision counts; else the direct owner."""
    meta = replacement.metadata
    direct = meta.controller()
    if direct is None or controllers.made not in _RECREATED:
        return None
    if len(controllers.objects) > 1 and controllers.kinds[1] == "Deployment":
        top = controllers.objects[1].metadata
        owner = Owner(kind="Deployment", name=top.name, namespace=meta.namespace, uid=top.uid)
        if rules.belongs_to(replacement, owner):
            return owner
    return Owner(kind=direct.kind, name=direct.name, namespace=meta.namespace, uid=direct.uid)
