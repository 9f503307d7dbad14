"""Valid settings: every key of a chart with each example of its schema, as in a values file."""

from __future__ import annotations

from typing import Any

from tests.unit.schemas import bad_values
from tools.generate import values

# They look like something that is no text, or like part of some language.
_ODD = (
    *("yes", "1e3", "0x1F", "012", "1_000", "~", "null", "2026-11-21", "", " x ", "two\nlines\n", "é\u2028🚢"),
    *("'\"\\", "# x", "{{ .x }}", "{{`x`}}", "${x}", "$${x}", "%{x}"),
)


def samples(chart: str) -> dict[str, dict[str, Any]]:
    """Values files with one setting each, by a name for people.

    Args:
        chart: whose keys they have.
    """
    found = {"odd texts": {"podAnnotations": {f"example.com/{number}": text for number, text in enumerate(_ODD)}}}
    for key in values.keys(values.bundled(chart)):
        for number, example in enumerate(() if key.is_group else key.schema["examples"], 1):
            name = ".".join(key.path) + (f" ({number})" if number > 1 else "")
            found[name] = bad_values.nested(key.path, example)
    return found
