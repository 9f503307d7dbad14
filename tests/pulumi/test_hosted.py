"""The components as programs in other languages use them: through the provider that the engine starts.

The YAML language host cannot be built from a registry; these programs ask the engine for what it would ask for. The
newest Python host that can be built is too old to start a provider from its sources: the engine finds a script on PATH.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.pulumi.projects import ROOT, Project
from tests.pulumi.test_engine import installed
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

Make = Callable[[str], Project]


def hosted(make: Make, component: str, properties: dict[str, Any]) -> Project:
    """A project with one component, by its token and with properties as YAML has them."""
    it = make(f"pulumi.ComponentResource('moorage:index:{component}', 'it', {properties!r}, remote=True)\n")
    it.plugin("moorage", f'exec {sys.executable} {ROOT / "pulumi"} "$@"')
    return it


def test_up_with_a_secret(project: Make, place: ClusterHandle, repository: Repository) -> None:
    pod_pinner = {"replicas": 1, "managedByCastai": False, "log": {"level": "debug"}, "castai": {"apiKey": "KEY"}}
    both = {"podPinner": pod_pinner, "planner": {"replicas": 1}}
    it = hosted(project, "Moorage", {"repository": repository.url, "timeout": 60, **both})
    program = (it.folder / "__main__.py").read_text()
    (it.folder / "__main__.py").write_text(program.replace("'KEY'", "pulumi.Output.secret('tell-nobody')"))
    it.up()
    assert {each[:2] for each in it.releases()} == {("castai-pod-pinner", "deployed"), ("moorage-planner", "deployed")}
    assert "tell-nobody" not in str(it.state)
    (values,) = [values for each in it.state["resources"] if "replicas" in (values := given(each)) and "log" in values]
    assert "ciphertext" in values.pop("castai")["apiKey"]
    assert values == {"replicas": 1, "managedByCASTAI": False, "log": {"level": "debug"}}
    found = installed(place)
    assert found is not None
    assert found["spec"]["replicas"] == 1
    assert set(it.up().counts) == {"unchanged"}


def given(resource: dict[str, Any]) -> dict[str, Any]:
    """The values of a release."""
    values: dict[str, Any] = resource.get("inputs", {}).get("values", {})
    return values


def test_nothing_is_dropped_that_is_not_known(project: Make, place: ClusterHandle, repository: Repository) -> None:
    wrong = {"repository": repository.url, "replicaz": 3, "log": {"levle": "info"}, "castai": {"grpcURL": "x y"}}
    it = hosted(project, "PodPinner", wrong)
    said = it.fails("up", "--yes")
    assert "replicaz: unknown field 'replicaz'; did you mean replicas?" in said
    assert "log.levle: unknown field 'levle'; did you mean level?" in said
    assert "castai.grpcURL: 'x y' does not look like" in said
    assert it.releases() == []
