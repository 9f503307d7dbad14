"""The rights that a chart grants, read from its templates without Helm."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).resolve().parents[2] / "charts"
_INCLUDE = re.compile(r"{{-? include \"([^\"]+)\" \.[^{}]*}}")


def rules(chart: str, part: str, names: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    """The rules of a role in ``templates/rbac.yaml``. A test compares them with the output of Helm.

    Args:
        chart: name of the chart.
        part: name of the definition, without the chart's name before it.
        names: values of the named templates that it includes, by name without the chart's name before it.

    Raises:
        KeyError: the definition does not exist, or a name is missing.
    """
    text = (CHARTS / chart / "templates" / "rbac.yaml").read_text()
    defined = dict(re.findall(rf'{{{{- define "{chart}\.(\w+)" -}}}}\n(.*?)\n{{{{- end -}}}}', text, re.DOTALL))
    included = {f"{chart}.{name}": value for name, value in (names or {}).items()}
    found: list[dict[str, Any]] = yaml.safe_load(
        _INCLUDE.sub(lambda match: json.dumps(included[match[1]]), defined[part])
    )
    return found
