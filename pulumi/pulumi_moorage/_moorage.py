"""Several components as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import pulumi

from pulumi_moorage import _settings
from pulumi_moorage._chart import Chart
from pulumi_moorage._settings import Settings

C = TypeVar("C", bound=Chart)


class Together(pulumi.ComponentResource):
    """Components that share a namespace and the source of their charts."""

    _components: ClassVar[Mapping[str, type[Chart]]]

    def __init__(self, resource_name: str, settings: Settings, opts: pulumi.ResourceOptions | None) -> None:
        """Validate the settings of all components before the first is registered."""
        shared = {name: value for name, value in settings.items() if name not in self._components}
        self._prefix = resource_name
        self._settings: dict[str, Any] = {}
        refused: list[tuple[str, str, list[str]]] = []
        for name, kind in self._components.items():
            own = settings.get(name)
            if own is None:
                continue
            if not isinstance(own, Mapping):
                found = [f"{name}: must be known, and not secret as a whole; use a component {kind.__name__} instead"]
            else:
                self._settings[name] = {**shared, **own}
                found = _settings.mistakes(kind._parts(self._settings[name]))
            if found:
                refused.append((kind.__name__, self._name_of(name), found))
        if not refused and not self._settings:
            refused.append(("Moorage", resource_name, [f"{', '.join(self._components)}: one is required"]))
        if refused:
            raise pulumi.RunError(_settings.refusal(refused))
        super().__init__("moorage:index:Moorage", resource_name, {}, opts)

    def _made(self, name: str, kind: Callable[..., C]) -> C | None:
        if name not in self._settings:
            return None
        return kind(self._name_of(name), pulumi.ResourceOptions(parent=self), **self._settings[name])

    def _name_of(self, name: str) -> str:
        return f"{self._prefix}-{name.replace('_', '-')}"
