"""Label selectors, read and validated as upstream does it; equal selectors are equal objects.

Follows ``k8s.io/apimachinery/pkg/labels/selector.go`` (NewRequirement, Requirement.Matches),
``pkg/apis/meta/v1/helpers.go`` (LabelSelectorAsSelector) and ``pkg/api/validate/content/kube.go`` (label keys and
values).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from moorage.objects.selectors import LabelSelector
from moorage.objects.selectors import Requirement as ApiRequirement

_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_LABEL_OPERATORS = frozenset(("In", "NotIn", "Exists", "DoesNotExist"))
_NODE_OPERATORS = _LABEL_OPERATORS | {"Gt", "Lt"}


class SelectorError(ValueError):
    """A selector that upstream would not parse; ``field`` is the path below the selector."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class Requirement(NamedTuple):
    """One validated expression."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, value: str | None) -> bool:
        """Whether a label with this value (None: the label is absent) satisfies the expression."""
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        have = None if value is None else integer(value)
        want = integer(self.values[0])
        if have is None or want is None:
            return False
        return have > want if self.operator == "Gt" else have < want


class Selector(NamedTuple):
    """All requirements must hold; ``nothing`` is the absent selector, which matches no labels at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def everything(self) -> bool:
        """Whether it matches any labels (``Selector.Empty``)."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels are selected."""
        if self.nothing:
            return False
        return all(requirement.holds(labels.get(requirement.key)) for requirement in self.requirements)


NOTHING = Selector(nothing=True)
EVERYTHING = Selector()


def integer(text: str) -> int | None:
    """``strconv.ParseInt(text, 10, 64)``, or None where that fails."""
    if _INTEGER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


@lru_cache(maxsize=16384)
def valid_key(key: str) -> bool:
    """Whether this is a qualified name: an optional DNS subdomain, a slash, and at most 63 characters."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or _DNS_SUBDOMAIN.fullmatch(prefix) is None):
        return False
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


@lru_cache(maxsize=16384)
def valid_value(value: str) -> bool:
    """Whether this may be the value of a label."""
    return not value or (len(value) <= 63 and _NAME.fullmatch(value) is not None)


def requirement(api: ApiRequirement, field: str, *, node: bool) -> Requirement:
    """Validate one expression.

    Args:
        api: the expression as written.
        field: its path, for the error.
        node: whether it is of a node selector, where Gt and Lt exist.

    Raises:
        SelectorError: where upstream's NewRequirement would fail.
    """
    if api.operator not in (_NODE_OPERATORS if node else _LABEL_OPERATORS):
        raise SelectorError(f"{field}.operator", f"{api.operator!r} is not an operator")
    if not valid_key(api.key):
        raise SelectorError(f"{field}.key", f"{api.key!r} is not a label key")
    count = len(api.values)
    if api.operator in ("In", "NotIn") and not count:
        raise SelectorError(f"{field}.values", f"{api.operator} needs at least one value")
    if api.operator in ("Exists", "DoesNotExist") and count:
        raise SelectorError(f"{field}.values", f"{api.operator} takes no values")
    if api.operator in ("Gt", "Lt") and (count != 1 or integer(api.values[0]) is None):
        raise SelectorError(f"{field}.values", f"{api.operator} needs exactly one integer")
    for value in api.values:
        if not valid_value(value):
            raise SelectorError(f"{field}.values", f"{value!r} is not a label value")
    return Requirement(api.key, api.operator, api.values)


def label_selector(api: LabelSelector | None, field: str) -> Selector:
    """Read a label selector; an absent one selects nothing, an empty one selects everything.

    Raises:
        SelectorError: where upstream's LabelSelectorAsSelector would fail.
    """
    if api is None:
        return NOTHING
    requirements = []
    for key, value in api.match_labels.items():
        equals = ApiRequirement(key=key, operator="In", values=(value,))
        requirements.append(requirement(equals, f"{field}.matchLabels[{key}]", node=False))
    for index, expression in enumerate(api.match_expressions):
        requirements.append(requirement(expression, f"{field}.matchExpressions[{index}]", node=False))
    return Selector(tuple(requirements))


def equalities(labels: Mapping[str, str]) -> tuple[Requirement, ...]:
    """Return requirements for exactly these labels, not validated (``labels.SelectorFromSet``)."""
    return tuple(Requirement(key, "In", (value,)) for key, value in labels.items())
