"""Reasons against emptying a node other than its pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from moorage.evictor.rules import Setting, decide_node
from moorage.objects import Node
from moorage.objects.karpenter import Disruption
from moorage.reservations import moment
from moorage.scheduling import removal_marks

from . import drain_marks, names, overrides
from .policy import Policy
from .reasons import NodeFinding, NodeReason
from .view import View

_WINDOWS = "windows"
_WHEN_EMPTY = "WhenEmpty"
_NEVER = "Never"
_EMPTY = "Empty"
_NO_NODES = ("0", "0%")


def against(node: Node, view: View, policy: Policy) -> Iterator[NodeFinding]:
    """Return every reason against emptying a node, those that people have written first."""
    yield from _protected(node, view, policy)
    if doubt := view.doubt("Node", node.key):
        # The other reasons could come from the missing fields.
        yield NodeFinding(NodeReason.NODE_UNREADABLE, doubt)
        return
    if "Pod" in view.unseen:
        yield NodeFinding(NodeReason.NODE_PODS_UNSEEN, view.unseen["Pod"])
    yield from _excluded(node, policy)
    yield from _age(node, view, policy)
    yield from _state(node, policy)
    yield from drain_marks.against(node, policy, view.now)
    yield from _marked(node, view)
    yield from _pooled(node, view)


def _protected(node: Node, view: View, policy: Policy) -> Iterator[NodeFinding]:
    mark = overrides.removal_disabled(node.metadata)
    if mark is not None:
        reason = NodeReason.NODE_REMOVAL_DISABLED if mark.clear else NodeReason.NODE_MARK_UNREADABLE
        yield NodeFinding(reason, str(mark))
    rule = decide_node(policy.rules, node.metadata.labels)
    if rule is not None and rule.settings[Setting.REMOVAL_DISABLED]:
        yield NodeFinding(NodeReason.NODE_RULE_REMOVAL_DISABLED, rule.path)
    yield from overrides.node_marks(node.metadata, view.now)


def _excluded(node: Node, policy: Policy) -> Iterator[NodeFinding]:
    """Kinds of nodes that the evictor never empties."""
    labels, taints = node.metadata.labels, {taint.key for taint in node.spec.taints}
    key, value = names.MANAGED_BY
    if policy.scoped and labels.get(key) != value:
        yield NodeFinding(NodeReason.NODE_OUT_OF_SCOPE, f"without the label {key}={value}")
    roles = [role for role in names.CONTROL_PLANE if role in labels or role in taints]
    if roles:
        yield NodeFinding(NodeReason.NODE_CONTROL_PLANE, roles[0])
    system = node.status.node_info.operating_system or labels.get("kubernetes.io/os")
    if system == _WINDOWS and not policy.windows:
        yield NodeFinding(NodeReason.NODE_WINDOWS)
    virtual = [f"{name}={value}" for name, value in names.VIRTUAL_LABELS if labels.get(name) == value]
    virtual += [name for name in names.VIRTUAL_TAINTS if name in taints]
    if virtual:
        yield NodeFinding(NodeReason.NODE_VIRTUAL, virtual[0])


def _age(node: Node, view: View, policy: Policy) -> Iterator[NodeFinding]:
    if policy.node_grace_period <= timedelta(0):
        return
    text = node.metadata.creation_timestamp
    created = moment(text or "")
    if created is None:
        detail = f'creationTimestamp: "{text[:40]}"' if text else "it has no creationTimestamp"
        yield NodeFinding(NodeReason.NODE_AGE_UNKNOWN, detail)
    elif view.now - created < policy.node_grace_period:
        minutes = f"{policy.node_grace_period.total_seconds() / 60:g}"
        yield NodeFinding(NodeReason.NODE_YOUNG, f"since {text}, nodeGracePeriodMinutes: {minutes}")


def _state(node: Node, policy: Policy) -> Iterator[NodeFinding]:
    taints = {taint.key for taint in node.spec.taints}
    mark = drain_marks.ours(node, policy)
    if not node.has_kubelet:
        yield NodeFinding(NodeReason.NODE_PLACEHOLDER, "it has no kubeletVersion")
    elif names.PLACEHOLDER in node.metadata.labels:
        yield NodeFinding(NodeReason.NODE_PLACEHOLDER, f"label {names.PLACEHOLDER}")
    elif not node.ready:
        detail = next((f"Ready: {c.status or 'nothing'}" for c in node.status.conditions if c.type == "Ready"), "")
        yield NodeFinding(NodeReason.NODE_NOT_READY, detail or "it has no Ready condition")
    if names.PREPARING in taints:
        yield NodeFinding(NodeReason.NODE_PREPARING)
    cordoned = node.spec.unschedulable or names.UNSCHEDULABLE in taints
    if cordoned and not (mark is not None and mark.cordoned):
        yield NodeFinding(NodeReason.NODE_CORDONED)


def _marked(node: Node, view: View) -> Iterator[NodeFinding]:
    """Marks of other programs that work on the node."""
    if node.metadata.deletion_timestamp is not None:
        yield NodeFinding(NodeReason.NODE_DELETED)
    for mark in removal_marks.marks(node):
        yield NodeFinding(NodeReason.NODE_MARKED, mark)
    for owner in node.metadata.owner_references:
        if owner.kind == "NodeClaim" and owner.api_version.startswith("karpenter.sh/"):
            yield from _claimed(owner.name, view)


def _claimed(name: str, view: View) -> Iterator[NodeFinding]:
    claim = view.node_claims.get(name)
    if doubt := view.doubt("NodeClaim", name):
        yield NodeFinding(NodeReason.NODE_CLAIM_UNSEEN, doubt)
    elif claim is None or claim.metadata.deletion_timestamp is not None:
        state = "does not exist" if claim is None else "is being deleted"
        yield NodeFinding(NodeReason.NODE_MARKED, f"its NodeClaim {name} {state}")


def _pooled(node: Node, view: View) -> Iterator[NodeFinding]:
    """Settings of a Karpenter NodePool: it must leave full nodes alone and delete empty ones."""
    name = node.metadata.labels.get(names.NODE_POOL, "")
    if not name:
        return
    pool, name_of_pool = view.node_pools.get(name), f"NodePool {name}"
    if doubt := view.doubt("NodePool", name):
        yield NodeFinding(NodeReason.NODE_POOL_UNKNOWN, doubt)
    elif pool is None or pool.metadata.deletion_timestamp is not None:
        state = "does not exist" if pool is None else "is being deleted"
        yield NodeFinding(NodeReason.NODE_POOL_UNKNOWN, f"{name_of_pool} {state}")
    elif kept := _kept(pool.spec.disruption, pool.spec.replicas):
        yield NodeFinding(NodeReason.NODE_POOL_KEEPS, f"{name_of_pool}: {kept}")
    elif (policy := pool.spec.disruption.consolidation_policy) != _WHEN_EMPTY:
        yield NodeFinding(NodeReason.NODE_POOL_CONSOLIDATES, f"{name_of_pool}: consolidationPolicy: {policy or 'none'}")


def _kept(disruption: Disruption, replicas: int | None) -> str:
    """The setting of a NodePool that keeps empty nodes for ever; empty when there is none."""
    if replicas is not None:
        return f"replicas: {replicas}"
    if disruption.consolidate_after == _NEVER:
        return f"consolidateAfter: {_NEVER}"
    for budget in disruption.budgets:
        of_empty = not budget.reasons or _EMPTY in budget.reasons
        if of_empty and not budget.schedule and budget.nodes in _NO_NODES:
            return f"a budget with nodes: {budget.nodes}"
    return ""
