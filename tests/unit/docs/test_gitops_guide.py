"""The examples of the guide for Argo CD and Flux are valid, with values that `moorage validate` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from moorage.cli import main
from tests.unit.docs.commands import ROOT
from tools.release import versions

BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/guides/gitops.md").read_text(), re.DOTALL)


def test_they_name_the_version_of_the_checkout() -> None:
    application, repository, release = (yaml.safe_load(block) for block in BLOCKS)
    assert [each["kind"] for each in (application, repository, release)] == [
        "Application",
        "HelmRepository",
        "HelmRelease",
    ]
    assert application["spec"]["source"]["targetRevision"] == versions.current()
    assert release["spec"]["chart"]["spec"]["version"] == versions.current()


@pytest.mark.parametrize("kind", ["Application", "HelmRelease"])
def test_their_values_are_judged(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = [each for each in BLOCKS if f"\nkind: {kind}\n" in f"\n{each}"]
    path = tmp_path / "example.yaml"
    path.write_text(block)
    assert main(["validate", "values", str(path)]) == 0, capsys.readouterr()
    path.write_text(block.replace("dryRun", "dryRn"))
    assert main(["validate", "values", str(path)]) == 1
    assert "did you mean dryRun?" in capsys.readouterr().out
