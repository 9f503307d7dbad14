"""What every source returns: the objects, the configuration sources, and notes about both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from moorage.evictor.effective_configuration import ConfigurationSources
from moorage.evictor.inventory import Inventory


class ConfigMaps(NamedTuple):
    """The ConfigMaps with rules and prices; an empty name: none.

    Attributes:
        namespace: of both.
        rules: the name of that with the rules.
        prices: the name of that with the prices.
    """

    namespace: str
    rules: str
    prices: str


@dataclass(frozen=True, slots=True)
class SourceResult:
    """The result of a source.

    Attributes:
        inventory: all objects.
        found: what there is beside the settings.
        source: what it comes from, and whose time it has, for people.
        notes: what else is to be known of it, each a sentence.
    """

    inventory: Inventory
    found: ConfigurationSources
    source: str
    notes: tuple[str, ...] = ()
