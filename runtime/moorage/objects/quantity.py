"""Kubernetes quantities as exact numbers, without floats.

Follows ``k8s.io/apimachinery/pkg/api/resource`` (quantity.go, suffix.go): decimal, binary and exponent notation.
Fractions finer than a billionth are rounded up, and values beyond 2^63-1 are capped.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

MAX_INT64 = 2**63 - 1
_NANO = 10**9

_SUFFIXES: dict[str, Fraction] = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    **{unit + "i": Fraction(2 ** (10 * (power + 1))) for power, unit in enumerate("KMGTPE")},
}

# No {n,m} backtracking: input may come from a user's file. 64 digits are far beyond any quantity.
_QUANTITY = re.compile(r"([+-]?)([0-9]{0,64})(?:\.([0-9]{0,64}))?([eE][+-]?[0-9]{1,3}|[numkMGTPE]|[KMGTPE]i|)")


class QuantityError(ValueError):
    """A text that is not a quantity."""

    def __init__(self, text: object) -> None:
        super().__init__(f"{text!r} is not a quantity (examples: 2, 500m, 1.5, 2Gi, 1e3)")


@lru_cache(maxsize=65536, typed=True)  # typed cache: True == 1, and only one of them is a quantity
def parse(text: str | int) -> Fraction:
    """Parse a quantity exactly.

    Args:
        text: as in the API, for example ``"500m"``, ``"2Gi"``, ``"1e3"`` or an integer.

    Returns:
        The value in its base unit (cores, bytes, pieces), rounded up to a billionth and capped to int64 as upstream
        does.

    Raises:
        QuantityError: the text is not a quantity.
    """
    match = _QUANTITY.fullmatch(str(text)) if not isinstance(text, bool) else None
    if match is None:
        raise QuantityError(text)
    sign, whole, fraction, suffix = match.groups(default="")
    if not whole and not fraction:
        raise QuantityError(text)
    digits = Fraction(int(whole + fraction or "0"), 10 ** len(fraction))
    scale = _SUFFIXES[suffix] if suffix in _SUFFIXES else Fraction(10) ** int(suffix[1:])
    value = digits * scale
    nanos = -(-value.numerator * _NANO // value.denominator)  # away from zero: upstream never rounds a request down
    magnitude = min(Fraction(nanos, _NANO), Fraction(MAX_INT64))
    return -magnitude if sign == "-" else magnitude


@lru_cache(maxsize=65536, typed=True)
def milli(text: str | int) -> int:
    """Thousandths, rounded up (``Quantity.MilliValue``): the unit for CPU."""
    return _round_up(parse(text) * 1000)


@lru_cache(maxsize=65536, typed=True)
def whole(text: str | int) -> int:
    """Whole units, rounded up (``Quantity.Value``): bytes, or pieces of an extended resource."""
    return _round_up(parse(text))


def _round_up(value: Fraction) -> int:
    """Away from zero, capped to int64, as ``ScaledValue`` does."""
    magnitude = min(-(-abs(value.numerator) // value.denominator), MAX_INT64)
    return magnitude if value >= 0 else -magnitude
