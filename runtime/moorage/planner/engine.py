"""From a plan to instructions: what is known from the file at once, pods as they are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moorage.objects import Pod
from moorage.protocol import CreatePlaceholder, DeletePlaceholder, ExpectPods, PinPods, Release

from .assign import Assigner, Lacking
from .board import Board
from .plan import Plan


class Engine:
    """Puts one plan after the other on the board.

    Args:
        board: where instructions go.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._plan: Plan | None = None
        self._assigner: Assigner | None = None
        self._decided: dict[str, str] = {}  # by the plans before: whoever has a place keeps it

    @property
    def plan(self) -> Plan | None:
        """The plan that is served."""
        return self._plan

    @property
    def lacking(self) -> tuple[Lacking, ...]:
        """Entries of the plan for which there are too few pods."""
        return self._assigner.lacking if self._assigner is not None else ()

    @property
    def complete(self) -> bool:
        """Whether every entry of the plan has its pods, as far as was looked."""
        return self._assigner is not None and not self._assigner.lacking

    def begin(self, plan: Plan) -> None:
        """Serve a plan instead of the one before: nodes first, pods when ``look`` is called."""
        board = self._board
        board.start(plan.name, plan.lasting)
        if self._assigner is not None:
            self._decided = self._assigner.decided
        self._plan, self._assigner = plan, None
        for name in plan.delete:
            board.issue(DeletePlaceholder(name))
        for name in plan.release:
            board.issue(Release(name))
        for node in plan.nodes:
            if node.promise is not None:
                board.issue(CreatePlaceholder(node.promise))
            if node.slots:
                board.issue(ExpectPods(node.name, node.slots), plan.expecting)

    def look(self, pods: Iterable[Pod], before: Mapping[str, str] | None = None) -> None:
        """Pin the pods that the plan asks for and that were not pinned yet.

        Args:
            pods: those of the cluster; none when the plan names all pods by uid.
            before: what the pinner holds of this plan already, by uid; taken note of at the first look.
        """
        assert self._plan is not None  # noqa: S101 - begin comes first
        if self._assigner is None:
            self._assigner = Assigner(self._plan, {**(before or {}), **self._decided})
        for node, refs in self._assigner.update(pods):
            self._board.issue(PinPods(node, refs))
