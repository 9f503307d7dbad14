"""The page about providers matches each profile in the code."""

from __future__ import annotations

import re
from pathlib import Path

from moorage.pinner.providers import PROFILES, UNINITIALIZED_TAINT

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/providers.md").read_text()


def rows() -> dict[str, list[str]]:
    section = PAGE.split("## Which profile\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return {cell[0].strip("`"): cell for cell in cells if cell[0].startswith("`")}


def test_every_profile_with_its_provider_id() -> None:
    table = rows()
    assert set(table) == set(PROFILES)
    for name, profile in PROFILES.items():
        example = re.findall(r"`(\w+:///?\S+?)`", table[name][2])
        assert bool(example) == (profile.provider_id is not None)
        if profile.provider_id is not None and "…" not in example[0]:
            assert profile.provider_id.fullmatch(example[0])
        assert (table[name][1].startswith("never")) == profile.late


def test_what_a_placeholder_carries_besides() -> None:
    table = rows()
    assert UNINITIALIZED_TAINT.key in table["aws"][3]
    for name, profile in PROFILES.items():
        assert (table[name][3] not in ("–", "")) == profile.cloud_controller
        for key, value in profile.labels.items():
            assert f"`{key}={value}`" in table[name][3]
