"""What all components have in common: a release of a chart, from validated arguments."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import pulumi

from pulumi_moorage import _settings
from pulumi_moorage._settings import Settings


class Chart(pulumi.ComponentResource):
    """A release of a chart.

    Attributes:
        release: the ``kubernetes:helm.sh/v3:Release``.
    """

    release_name: pulumi.Output[str]
    """The release's name."""
    namespace: pulumi.Output[str]
    """Its namespace."""
    chart_version: pulumi.Output[str | None]
    """The version of the chart that is installed."""
    status: pulumi.Output[str | None]
    """The release's status, as in ``helm list``."""

    _chart: ClassVar[str]
    _keys: ClassVar[Mapping[str, str]]
    _short: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(
        self,
        resource_name: str,
        settings: Settings,
        opts: pulumi.ResourceOptions | None,
        release_opts: pulumi.ResourceOptions | None,
    ) -> None:
        """Validate the settings, and register the component and its release."""
        # Imported here, because the SDK's resources take a while to import, and a wrong setting does not need them.
        from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

        parts = self._parts(settings)
        if found := _settings.mistakes(parts):
            raise pulumi.RunError(_settings.refusal([(type(self).__name__, resource_name, found)]))
        super().__init__(f"moorage:index:{type(self).__name__}", resource_name, {}, opts)
        given = parts.release
        repository = given.get("repository")
        self.release = Release(
            resource_name,
            # Awaited before the release is registered: values that become known later are validated then.
            chart=self._looked_at(resource_name, parts),
            name=given.get("release_name", self._chart),
            namespace=given["namespace"],
            create_namespace=given["create_namespace"],
            repository_opts=None if repository is None else RepositoryOptsArgs(repo=repository),
            version=given.get("chart_version"),
            timeout=given.get("timeout"),
            skip_await=given.get("skip_await"),
            allow_null_values=True,  # null does not remove a chart's own value, as in a values file
            reset_values=True,  # else helm keeps the last values if all are removed
            values=_settings.kept_secret(parts.values),
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), release_opts),
        )
        self.release_name = self.release.name.apply(str)
        self.namespace = self.release.namespace.apply(str)
        self.chart_version = self.release.status.apply(lambda status: status and status.version)
        self.status = self.release.status.apply(lambda status: status and status.status)
        outputs = ("release_name", "namespace", "chart_version", "status")
        self.register_outputs({name: getattr(self, name) for name in outputs})

    @classmethod
    def _parts(cls, settings: Settings) -> _settings.Parts:
        return _settings.parts(cls._chart, cls._keys, cls._short, settings)

    def _looked_at(self, resource_name: str, parts: _settings.Parts) -> pulumi.Output[str]:
        """The chart, after all known values are validated. It is no secret, whatever the values are."""

        async def look() -> None:
            known = await _settings.awaited(parts)
            if found := _settings.mistakes(known):
                raise pulumi.RunError(_settings.refusal([(type(self).__name__, resource_name, found)]))
            for note in _settings.notes(known):
                pulumi.log.warn(note, self)

        async def yes() -> bool:
            return True

        looked = pulumi.Output(set(), asyncio.ensure_future(look()), asyncio.ensure_future(yes()))
        return looked.apply(lambda _: parts.release.get("chart", self._chart))
