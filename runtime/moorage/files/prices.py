"""Checks files with prices of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from . import schemas
from .mistakes import Mistake
from .nulls import without_nulls
from .yamlfile import Document

KEY = "prices.yaml"
"""The key of a ConfigMap with prices."""
LIST = "prices"
"""The key in the file."""
ON_DEMAND, SPOT = "on-demand", "spot"

_SCHEMA = "prices.schema.json"


def mistakes(document: Document) -> list[Mistake]:
    """The mistakes in a file of prices. An empty file has no prices and is valid."""
    value = without_nulls(document.value)
    if value is None:
        return []
    return list(schemas.mistakes(_SCHEMA, document, value)) or list(_contradictions(document, value))


def capacity(entry: Mapping[str, Any]) -> str:
    """The capacity type of an entry."""
    return str(entry.get("capacityType", ON_DEMAND))


def _contradictions(document: Document, value: Mapping[str, Any]) -> Iterator[Mistake]:
    """Two entries with different prices for the same thing, which a schema cannot find."""
    first: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for index, entry in enumerate(value[LIST]):
        price = Decimal(str(entry["pricePerHour"]))
        kind = (entry["instanceType"], capacity(entry))
        before, stated = first.setdefault(kind, (index, price))
        if stated != price:
            sentence = f"pricePerHour: contradicts {LIST}[{before}], which says {stated} of {' '.join(kind)}; keep one"
            yield document.mistake((LIST, index, "pricePerHour"), sentence)
