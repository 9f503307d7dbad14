"""The parts that all strategies draw from: small pools of names, selectors over them, and a choice of pods or nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]
Case = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ZONE, REGION, HOST = "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "kubernetes.io/hostname"
BETA_ZONE = "failure-domain.beta.kubernetes.io/zone"
NAMESPACES = ("shop", "data", "ghost")  # the last one has no Namespace object
APPS = ("web", "db", "cache")
NODES = ("n0", "n1", "n2", "n3", "n4")

half, third = st.booleans(), st.sampled_from((True, False, False))
tenth = st.sampled_from((True,) + (False,) * 9)
app, namespace = st.sampled_from(APPS), st.sampled_from(NAMESPACES)
topology = st.sampled_from((ZONE, HOST, ZONE, HOST, REGION, "rack"))
tier = st.sampled_from(("front", "back", "5", "12"))
small = st.integers(0, 3)


def of(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


def everyone(case: Case) -> list[Object]:
    return [*case["objects"]["pods"], *case["pending"]]


def some(draw: Draw, things: list[Object]) -> list[Object]:
    return [thing for thing in things if draw(half)]


def label_selector(draw: Draw) -> Object | None:
    kind = draw(of(0, 0, 0, 0, 1, 1, 2, 3, 4))
    if kind == 0:
        return {"matchLabels": {"app": draw(app)}}
    if kind == 1:
        return {"matchExpressions": [expression(draw, ("app", "tier"), node=False)]}
    if kind == 2:
        return {"matchLabels": {"app": draw(app)}, "matchExpressions": [expression(draw, ("tier",), node=False)]}
    return {} if kind == 3 else None


def expression(draw: Draw, keys: tuple[str, ...], *, node: bool) -> Object:
    key = draw(st.sampled_from(keys))
    pool = {
        "app": APPS,
        "tier": ("front", "back", "5", "12"),
        ZONE: ("a", "b", "c"),
        HOST: NODES,
        "cores": ("1", "4", "-3", "many"),
        "team": ("red", "blue"),
        "disk": ("ssd", "hdd"),
    }[key]
    operator = draw(_NODE_OPERATORS if node else _LABEL_OPERATORS)
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    if operator in ("Gt", "Lt"):
        return {"key": key, "operator": operator, "values": [draw(of("0", "3", "+4", "-5"))]}
    return {"key": key, "operator": operator, "values": draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2))}


_LABEL_OPERATORS = of("In", "NotIn", "Exists", "DoesNotExist")
_NODE_OPERATORS = of("In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
