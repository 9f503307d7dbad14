"""The components for programs in YAML and other languages: a provider with a schema from the argument types."""

import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pulumi
from pulumi.errors import InputPropertiesError
from pulumi.provider import ConstructResult
from pulumi.provider import main as serve
from pulumi.provider.experimental.analyzer import ComponentDefinition
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError

from pulumi_moorage import components, inputs

NAME = "moorage"


class Provider(ComponentProvider):
    """Like `component_provider_host`, but it neither drops nor changes settings of a program.

    The SDK's own mapping drops keys that are not in the schema, and groups that contain secret or unknown values.
    """

    def __init__(self) -> None:
        super().__init__([_hosted(name) for name in components.__all__], NAME, version=_version())

    def map_inputs(self, inputs: Any, component_def: ComponentDefinition) -> Any:
        """The arguments by their names in Python. The component refuses unknown ones with its own message."""
        found = {}
        for name, value in inputs.items():
            declared = component_def.inputs.get(name)
            definition = self.get_type_definition(declared) if declared is not None and declared.ref else None
            if definition is not None and isinstance(value, Mapping):
                value = {definition.properties_mapping.get(key, key): each for key, each in value.items()}
            found[component_def.inputs_mapping.get(name, name)] = value
        return found

    def construct(
        self, name: str, resource_type: str, inputs: Any, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        """Create a component. If it refuses its arguments, the error has no traceback.

        Raises:
            InputPropertiesError: the arguments have mistakes.
        """
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as error:
            if isinstance(error.inner, pulumi.RunError):
                # Without single errors: the engine would show the value of each, also of a secret.
                raise InputPropertiesError(str(error.inner), []) from None
            raise


def main() -> None:
    """Serve until the engine ends this process."""
    serve(Provider(), sys.argv[1:])


def _hosted(name: str) -> type[pulumi.ComponentResource]:
    """The component in the form that the SDK needs: one argument ``args``, whose type is the schema."""
    component = getattr(components, name)

    def init(self: Any, resource_name: str, args: Any, opts: pulumi.ResourceOptions | None) -> None:
        component.__init__(self, resource_name, opts, **args)

    init.__annotations__["args"] = getattr(inputs, f"{name}Args")
    return type(name, (component,), {"__doc__": component.__doc__, "__init__": init})


def _version() -> str:
    try:
        return metadata.version("pulumi_moorage")
    except metadata.PackageNotFoundError:
        return "0.0.0"  # when run from a checkout
