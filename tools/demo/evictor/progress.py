"""Sentences about the evictor's progress: one when something happens for the first time, and one for each quarter."""

from __future__ import annotations

from tools.demo.common.stage import Stage

from .events import NodeState
from .state import State

QUARTERS = 4


class Progress:
    """The sentences so far.

    Args:
        stage: has the state and receives the sentences.
    """

    def __init__(self, stage: Stage[State]) -> None:
        self._stage = stage
        self._told: set[NodeState] = set()
        self._quarters = 0

    def tell(self) -> None:
        """Add sentences for what has happened since the last call."""
        state = self._stage.state
        self._first(NodeState.DRAINING, "the first node is cordoned, its pods are evicted, one after the other")
        self._first(NodeState.EMPTY, "the first node is empty: its cordon is off, the scheduler avoids it")
        deleted, promised = len(state.deleted), len(state.promised)
        quarters = QUARTERS * deleted // promised if promised else 0
        if quarters > self._quarters:
            self._quarters = quarters
            self._stage.good(
                f"deleted by Karpenter: {deleted} of {len(state.nodes)} nodes; {state.cost:.2f} an hour are left of "
                f"{state.cost_before:.2f}, and the nodes that stay are used to {100 * state.use:.0f} %"
            )

    def _first(self, node_state: NodeState, sentence: str) -> None:
        if node_state not in self._told and self._stage.state.in_state(node_state):
            self._told.add(node_state)
            self._stage.say(sentence)
