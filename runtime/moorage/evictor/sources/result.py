"""What every source brings: the objects, what stands beside the settings, and what is to be known about both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from moorage.evictor.effective_configuration import Found
from moorage.evictor.inventory import Inventory


class ConfigMaps(NamedTuple):
    """Where rules and prices are; an empty name: nowhere.

    Attributes:
        namespace: of both.
        rules: the name of that with the rules.
        prices: the name of that with the prices.
    """

    namespace: str
    rules: str
    prices: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found.

    Attributes:
        inventory: all objects.
        found: what there is beside the settings.
        source: what it comes from, and whose time it has, for people.
        notes: what else is to be known of it, each a sentence.
    """

    inventory: Inventory
    found: Found
    source: str
    notes: tuple[str, ...] = ()
