"""Moorage's programs in a namespace, as their Deployments have them."""

from __future__ import annotations

import msgspec

from moorage.kube.resource import Resource
from moorage.objects import KubeObject, Object

PART_OF = "app.kubernetes.io/part-of=moorage"
"""A label that the charts give to every object. Names can be chosen at installation."""


class EnvVar(Object, frozen=True):
    """One variable of a container; without a value when it comes from elsewhere."""

    name: str = ""
    value: str = ""


class Port(Object, frozen=True):
    """One port of a container."""

    name: str = ""
    container_port: int = 0


class Container(Object, frozen=True):
    """The container of a program."""

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[Port, ...] = ()


class PodSpec(Object, frozen=True):
    """``spec.template.spec``."""

    containers: tuple[Container, ...] = ()


class Template(Object, frozen=True):
    """``spec.template``."""

    spec: PodSpec = PodSpec()


class Selector(Object, frozen=True):
    """``spec.selector``."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)


class DeploymentSpec(Object, frozen=True):
    """``spec``."""

    replicas: int = 1
    selector: Selector = Selector()
    template: Template = Template()


class DeploymentStatus(Object, frozen=True):
    """``status``."""

    ready_replicas: int = 0


class Program(KubeObject, frozen=True):
    """The Deployment of one of Moorage's programs."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def command(self) -> str:
        """The subcommand of ``moorage`` that it runs; empty when it is none."""
        return next((each.args[0] for each in self.spec.template.spec.containers if each.args), "")

    @property
    def health_port(self) -> int:
        """Where its pods show their metrics; the charts name that port first. 0: nowhere."""
        ports = (port for each in self.spec.template.spec.containers for port in each.ports)
        return next((port.container_port for port in ports), 0)

    def setting(self, variable: str) -> str:
        """The value of an environment variable; empty when it is not set, or comes from a Secret or ConfigMap."""
        found = (env.value for each in self.spec.template.spec.containers for env in each.env if env.name == variable)
        return next(found, "")


PROGRAMS = Resource("apps/v1", "deployments", "Deployment", Program)
