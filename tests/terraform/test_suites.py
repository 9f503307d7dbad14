"""The modules' own suites for `terraform test`. Files have Terraform's format, and modules and examples are valid."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.terraform.terraform import ROOT, Terraform

FOLDER = ROOT / "terraform"
MODULES = [Path(), *sorted(path.relative_to(FOLDER) for path in FOLDER.glob("modules/*"))]
EXAMPLES = sorted(path.relative_to(FOLDER) for path in FOLDER.glob("examples/*"))
SUITES = {module: sorted((FOLDER / module).glob("tests/*.tftest.hcl")) for module in MODULES}
CASES = [
    pytest.param(module, suite, id=str(suite.relative_to(FOLDER))) for module in MODULES for suite in SUITES[module]
]


def initialized(terraform: Terraform, module: Path) -> Path:
    folder = terraform.home / "terraform" / module
    if not (folder / ".terraform").exists():
        terraform(folder, "init", "-input=false")
    return folder


@pytest.mark.parametrize(("module", "suite"), CASES)
def test_suite(terraform: Terraform, module: Path, suite: Path) -> None:
    done = terraform.run(initialized(terraform, module), "test", "-json", f"-filter=tests/{suite.name}")
    events = [json.loads(line) for line in done.out.splitlines()]
    failed = [(each["@testrun"], each["diagnostic"]["detail"]) for each in events if each["type"] == "diagnostic"]
    (summary,) = [each["test_summary"] for each in events if each["type"] == "test_summary"]
    assert (failed, done.code) == ([], 0)
    runs = re.findall(r'^run "', suite.read_text(), flags=re.MULTILINE)
    assert summary["passed"] == len(runs) > 0


def test_every_module_has_a_suite() -> None:
    assert [module for module in MODULES if not SUITES[module]] == []


@pytest.mark.parametrize("module", MODULES + EXAMPLES, ids=str)
def test_valid(terraform: Terraform, module: Path) -> None:
    said = json.loads(terraform.run(initialized(terraform, module), "validate", "-json").out)
    assert said["diagnostics"] == []


def test_style(terraform: Terraform) -> None:
    done = terraform.run(terraform.home / "terraform", "fmt", "-check", "-diff", "-recursive")
    assert (done.code, done.out) == (0, "")
