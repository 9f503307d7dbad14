"""The guide matches the code: each reason with its sentence, each mark, each field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from moorage.evictor.candidates import NodeReason, PodReason, Stance, names
from moorage.evictor.compaction import KeptReason, Settings
from moorage.evictor.compaction.prices import PRICE
from moorage.evictor.compaction.targets import EMPTIED
from moorage.evictor.rules import FORCE, Setting
from moorage.files import rules, schemas
from moorage.files.yamlfile import parse
from moorage.scheduling import removal_marks

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/guides/evictor-rules.md").read_text()
CHOOSING = (ROOT / "docs/guides/evictor-choosing.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^#+ ", GUIDE, flags=re.MULTILINE)}


def rows(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def listed(section: str) -> list[tuple[str, str]]:
    return [(row[0].strip("` "), row[1]) for row in rows(section)]


def said(reasons: Any) -> list[tuple[str, str]]:
    return [(each.name, each.sentence) for each in reasons]


def test_every_reason_about_pods() -> None:
    holding = [each for each in PodReason if each.stance is Stance.HOLDS]
    always = holding[: holding.index(PodReason.PHASE_UNKNOWN)]
    assert listed("Pods that go with their node") == said(each for each in PodReason if each.stance is Stance.STAYS)
    assert listed("Pods that hold their node, disposable or not") == said(always)
    assert listed("Pods that hold their node unless they are disposable") == said(holding[len(always) :])
    assert listed("Pods that may be evicted") == said(each for each in PodReason if each.stance is Stance.MOVES)


def test_every_reason_about_nodes() -> None:
    assert listed("Nodes") == said(NodeReason)
    assert [row[2] for row in rows("Nodes")] == ["yes" if each.receives else "no" for each in NodeReason]


def test_every_mark() -> None:
    assert [row[0].strip("` ") for row in rows("Marks")] == [
        *names.REMOVAL_DISABLED,
        *names.DISPOSABLE,
        names.SAFE_TO_EVICT,
        names.SAFE_LOCAL_VOLUMES,
        names.DO_NOT_DISRUPT,
        names.SCALE_DOWN_DISABLED,
    ]
    for key in (
        *removal_marks.REMOVING_TAINTS,
        *names.GROUPS,
        removal_marks.REMOVING_TAINT_PREFIX,
        "=".join(names.MANAGED_BY),
    ):
        assert f"`{key}" in SECTIONS["Nodes"]


def test_every_field_of_rules() -> None:
    rule = schemas.load("rules.schema.json")["items"]["properties"]
    fields = {*rule, *rule["podSelector"]["properties"], *rule["settings"]["properties"]} - {"settings"}
    told = {word for row in rows("Rules") for word in re.findall(r"`(\w+)`", f"| {row[0]}")}
    assert told == fields
    assert {*(each.value for each in Setting), FORCE} == set(rule["settings"]["properties"])


def test_every_field_of_the_resource() -> None:
    spec = schemas.load(rules.RESOURCE)["properties"]["spec"]["properties"]
    fields = {**spec, **spec["config"]["properties"]}
    silent = [(key, each["description"]) for key, each in fields.items() if each.get("x-effect") == "none"]
    assert sorted(listed("The resource")) == sorted(silent)
    for key in fields.keys() - {"config"}:
        assert f"`{key}`" in SECTIONS["The resource"], key


def test_the_example_is_right() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert rules.mistakes(parse("example.yaml", example.encode())) == []
    assert len(yaml.safe_load(example)["evictionConfig"]) == 2


def test_the_mistake_that_it_quotes() -> None:
    (quoted,) = re.findall(r"`(spec\.config\.targetNodePercentage: .*?)`", GUIDE)
    wrong = {
        "apiVersion": "autoscaling.cast.ai/v1alpha1",
        "kind": "EvictorConfig",
        "spec": {"config": {"targetNodePercentage": 300}},
    }
    assert [each.full_sentence for each in rules.mistakes(parse("x", json.dumps(wrong).encode()))] == [quoted]


def test_it_says_at_its_top_when_it_acts() -> None:
    for guide in (GUIDE, CHOOSING):
        assert "acts on it only with `dryRun=false`" in " ".join(guide.partition("\n## ")[0].split())


def test_every_reason_for_which_a_node_stays() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.*?) \|", CHOOSING, flags=re.MULTILINE)
    assert told == said(KeptReason)


def test_the_numbers_of_choosing() -> None:
    settings = Settings()
    for text in (
        f"`targetNodePercentage` ({settings.percentage})",
        f"`minTargetNodesPerCycle` ({settings.least})",
        f"`maxTargetNodesPerCycle` ({settings.most})",
        f"{settings.utilisation:.0%}".replace("%", " %"),
        f"{settings.quiet_period.total_seconds() / 60:g} minutes",
        f"counts as {settings.move_price} of an average",
        f"{settings.prices.cpu:g} for a core, {settings.prices.memory:g} for a GiB",
        f"`{PRICE}`",
        f"`{EMPTIED}`",
    ):
        assert text in CHOOSING, text


def test_the_price_list_that_it_shows() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", CHOOSING, flags=re.DOTALL)
    assert rules.mistakes(parse("prices.yaml", example.encode())) == []
    assert len(yaml.safe_load(example)["prices"]) == 2
