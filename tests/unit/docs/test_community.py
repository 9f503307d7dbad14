"""Files for contributors: CI that runs the same commands, templates, and addresses that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.toolchain import host

ROOT = Path(__file__).resolve().parents[3]
GITHUB = ROOT / ".github"


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), yaml.BaseLoader)  # noqa: S506 - BaseLoader makes texts only; "on" stays one


def test_ci_elsewhere_runs_what_we_run_and_keeps_the_tools() -> None:
    jobs = read(GITHUB / "workflows/ci.yml")["jobs"]
    steps = {name: job["steps"] for name, job in jobs.items()}
    assert [step["run"] for step in steps["all"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    (cache,) = [step["with"] for step in steps["all"] if step.get("uses", "").startswith("actions/cache@")]
    assert str(host.cache_dir({"HOME": "/home/x"})) == cache["path"].replace("~", "/home/x")
    tasks = yaml.safe_load((ROOT / "Taskfile.yml").read_text())["tasks"]
    (task,) = [step["run"].removeprefix("./taskw ") for step in steps["docs"] if "run" in step]
    assert task in tasks


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_templates_ask_for_what_is_needed(name: str) -> None:
    form = read(GITHUB / f"ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= set(form)
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    assert any(each.get("validations", {}).get("required") == "true" for each in fields)
    assert len({each["id"] for each in fields}) == len(fields)


@pytest.mark.parametrize("package", ["runtime", "pulumi"])
def test_addresses_of_the_packages_lead_to_this_repository(package: str) -> None:
    project = tomllib.loads((ROOT / package / "pyproject.toml").read_text())["project"]
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(project["urls"])
    for address in project["urls"].values():
        assert address.startswith("https://github.com/moorage/moorage")
        found = re.search(r"/(?:blob|tree)/main/(.+)", address)
        assert found is None or (ROOT / found[1]).exists()


def test_whoever_contributes_is_told_how() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert "CODE_OF_CONDUCT.md" in text
    assert "git commit --signoff" in text
    assert "Signed-off-by" in (GITHUB / "workflows/ci.yml").read_text()
    assert (ROOT / "DCO").read_text().startswith("Developer Certificate of Origin\nVersion 1.1\n")
