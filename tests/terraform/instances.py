"""Combines settings into one module instance, because an instance costs Terraform a quarter of a second.

Each assertion is the same as for a single setting. Only settings with equal results are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Setting = TypeVar("Setting")


def dealt_out(settings: Iterable[Setting], are_compatible: Callable[[Sequence[Setting]], bool]) -> list[list[Setting]]:
    """Deal settings out to instances, each to the first one where it can be.

    Args:
        settings: in any order.
        are_compatible: whether one instance can have all of these.
    """
    instances: list[list[Setting]] = []
    for setting in settings:
        for instance in instances:
            if are_compatible([*instance, setting]):
                instance.append(setting)
                break
        else:
            instances.append([setting])
    return instances
