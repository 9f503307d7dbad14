"""EvictorConfig in the chart: it is kept, has no defaults, and matches the schema of the rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.charts.rendering import EVICTOR, annotations_of, render
from tools.generate import bundle


def test_the_definition_is_kept_and_has_no_defaults() -> None:
    definition = render(EVICTOR).one("CustomResourceDefinition", "evictorconfigs.autoscaling.cast.ai")
    assert annotations_of(definition)["helm.sh/resource-policy"] == "keep"
    (version,) = definition["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert "default" not in places(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    columns = {each["jsonPath"].partition("[")[0] for each in version["additionalPrinterColumns"]}
    assert {".status.conditions", ".status.lastCycle.freed", ".status.lastCycle.candidates"} <= columns


def places(schema: Any) -> set[str]:
    """Every keyword anywhere in a schema."""
    if isinstance(schema, dict):
        return {*schema, *(key for each in schema.values() for key in places(each))}
    return {key for each in schema for key in places(each)} if isinstance(schema, list) else set()


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema, of this or that kind, with what it may be."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from fields(schema["additionalProperties"], f"{path}.*")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


SAME = ("enum", "pattern", "minimum", "maximum", "maxLength", "maxItems", "minProperties", "description", "required")


def test_the_definition_says_what_the_schema_says() -> None:
    (version,) = render(EVICTOR).one("CustomResourceDefinition")["spec"]["versions"]
    there = dict(fields(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))
    wanted = dict(fields(bundle.bundled("rules/evictorconfig.schema.json")["properties"]["spec"]))
    settings = {path for path, each in wanted.items() if each.get("type") == ["boolean", "object"]}
    of_files = {f"{path}.enabled" for path in settings}
    assert set(there) == set(wanted) - of_files
    for path, found in there.items():
        other = wanted[path]
        same = {key: other[key] for key in SAME if key in other and not (path in settings and key == "required")}
        assert {key: found[key] for key in SAME if key in found} == same, path
        kinds = {"boolean": ["boolean", "object"]} if path in settings else {}
        if other.get("type") == ["string", "number"]:
            assert found["x-kubernetes-int-or-string"] is True
        else:
            assert kinds.get(found["type"], found["type"]) == other.get("type", "string"), path
        rules = len(other.get("allOf", ())) + ("oneOf" in other)
        assert len(found.get("x-kubernetes-validations", ())) == rules, path
