"""Charts as Helm renders them: one process per set of values, shared by all tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools.toolchain import ensure

CHARTS = Path(__file__).resolve().parents[2] / "charts"
PINNER = "castai-pod-pinner"
PLANNER = "moorage-planner"
EVICTOR = "castai-evictor"
NAMESPACE = "castai-agent"

Object = dict[str, Any]
Values = Mapping[str, Any]


class Refused(Exception):
    """Helm does not render the chart. The text is Helm's error."""


@dataclass(frozen=True)
class Rendered:
    """The objects of a release."""

    objects: Sequence[Object]

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """The only object of a kind, or the only one of that name."""
        found = [each for each in self.all(kind) if name in (None, each["metadata"]["name"])]
        assert len(found) == 1, f"{kind} {name or ''}: {[each['metadata']['name'] for each in self.all(kind)]}"
        return found[0]

    @property
    def installed(self) -> list[Object]:
        """The objects that stay: no hooks."""
        return [each for each in self.objects if "helm.sh/hook" not in annotations_of(each)]

    @property
    def pod(self) -> Object:
        """The pod template of the Deployment."""
        template: Object = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def check(self) -> Object:
        """The pod template of `helm test`."""
        template: Object = self.one("Job")["spec"]["template"]
        return template

    @property
    def container(self) -> Object:
        """Its one container."""
        (container,) = self.pod["spec"]["containers"]
        found: Object = container
        return found

    @property
    def env(self) -> dict[str, Any]:
        """The environment: texts, and sources as they are."""
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.container["env"]}


def render(
    chart: str | Path,
    values: Values | None = None,
    *,
    release: str | None = None,
    namespace: str = NAMESPACE,
    options: Sequence[str] = (),
) -> Rendered:
    """What `helm template` makes of the values.

    Raises:
        Refused: the values are refused.
    """
    path = CHARTS / chart
    text = _template(
        str(path), json.dumps(values or {}, ensure_ascii=False), release or path.name, namespace, tuple(options)
    )
    return Rendered([each for each in yaml.load_all(text, yaml.CSafeLoader) if each])


def notes(chart: str | Path, values: Values | None = None, *, options: Sequence[str] = ("--dry-run=client",)) -> str:
    """The output of `helm install` in one line, without its line breaks."""
    text = _helm(
        "install",
        Path(chart).name,
        str(CHARTS / chart),
        "-n",
        NAMESPACE,
        *options,
        values=json.dumps(values or {}, ensure_ascii=False),
    )
    return " ".join(text.partition("\nNOTES:\n")[2].split())


def refusal(chart: str | Path, values: Values, *, options: Sequence[str] = ()) -> str:
    """The reason why the values are refused."""
    try:
        render(chart, values, options=options)
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"{chart} takes {values}")


def annotations_of(found: Object) -> dict[str, str]:
    """The annotations of an object; there may be none."""
    given: dict[str, str] = found["metadata"].get("annotations") or {}
    return given


@cache
def _template(path: str, values: str, release: str, namespace: str, options: tuple[str, ...]) -> str:
    return _helm("template", release, path, "-n", namespace, *options, values=values)


def _helm(*arguments: str, values: str) -> str:
    # A process that lives for a third of a second need not collect its garbage, which costs it a quarter of its time.
    environment = {**os.environ, "KUBECONFIG": os.devnull, "GOGC": "off"}
    command = [_program(), *arguments, "-f", "-"]
    done = subprocess.run(command, input=values, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


@cache
def _program() -> str:
    return str(ensure(["helm"])["helm"])


def lint(chart: str, values: Values | None = None) -> str:
    """What `helm lint --strict` says.

    Raises:
        Refused: something is wrong.
    """
    return _lint(chart, json.dumps(values or {}, ensure_ascii=False))


@cache
def _lint(chart: str, values: str) -> str:
    return _helm("lint", "--strict", str(CHARTS / chart), values=values)
