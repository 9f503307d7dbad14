"""A test runs every command of the pages, or its program parses it. An unknown command fails here.

What helm and kubectl themselves make of theirs is tested in `tests/charts/test_documented_commands.py`.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import yaml

from moorage.cli.main import COMMANDS
from moorage.files import values
from moorage.files.yamlfile import parse
from tests.unit.docs.commands import ROOT, Command, all_of_them, simple

UMBRELLA = "moorage"
"""Its values are those of the charts, below their names."""

CHARTS = ("castai-pod-pinner", "moorage-planner", "castai-evictor")
ALL = all_of_them()

MOVED = "tests/terraform/test_moving.py::test_a_resource_moves_over_a_definition_that_helm_does_not_own_and_back"
EXAMPLE = "tests/e2e/test_example_planner.py::test_pods_run_on_the_promised_node_though_pinners_come_and_go"
VERIFIED = "tests/charts/test_release_pushed.py::test_the_usual_programs_verify_a_release"
RUN: Mapping[str, str] = {
    "terraform init": MOVED,
    "terraform plan": MOVED,
    "terraform apply": MOVED,
    "terraform state rm": "tests/terraform/test_moving.py::test_a_resource_is_forgotten_and_imported",
    "pulumi up": "tests/pulumi/test_moving.py::test_a_release_of_a_program_over_a_foreign_definition_and_back",
    "pulumi import": "tests/pulumi/test_moving.py::test_a_release_that_helm_has_installed",
    "pulumi stack --show-urns": "tests/pulumi/test_engine.py::test_a_lost_state_is_imported",
    "python -m grpc_tools.protoc": EXAMPLE,
    "python planner.py": EXAMPLE,
    "sha256sum --check SHA256SUMS": VERIFIED,
    "openssl dgst -sha256 -verify release.pub": VERIFIED,
    "uvx --from ./runtime moorage evictor --once": (
        "tests/image/test_wheel.py::test_one_command_looks_at_a_cluster_once"
    ),
}
"""Beginnings of commands, each with the test that runs them."""

NOT_RUN: Mapping[str, str] = {
    "docker buildx build": "there is no Docker here: buildah builds the same file (tests/image)",
    "jq": "somebody else's program: tests/kube/test_evictor_once.py reads the same JSON",
    "echo": "the shell's own",
    "base64 -d SHA256SUMS.sig": "tests/charts/test_release_pushed.py decodes the signature itself",
    "cosign verify-blob": "not built here: it reads the format that openssl verifies",
    "python -m pip install -r requirements.txt": "needs a package index; the versions are those of the tests",
}
"""Beginnings of commands that no test runs, and why."""

WRONG_ON_PURPOSE = {"replica=3"}
"""Values that a page shows to say how they are refused."""

HELM: Mapping[tuple[str, ...], str] = {
    ("repo", "add"): "moorage http://127.0.0.1:8879",
    ("repo", "update"): "",
    ("upgrade",): "",
    ("uninstall",): "",
    ("rollback",): "",
    ("history",): "",
    ("list",): "",
    ("test",): "",
    ("get", "values"): "",
}
"""The subcommands of helm, with their required arguments. `tests/e2e/helm` runs each of them."""

KUBECTL = {
    "annotate", "create", "delete", "describe", "exec", "get", "label", "logs", "patch", "scale", "taint", "wait",
}  # fmt: skip


def judge_ours(words: Sequence[str]) -> str | None:
    """Let our own parser read it."""
    name, *arguments = words
    if name not in COMMANDS:
        return f"there is no subcommand {name}"
    parser: Any = importlib.import_module(f"moorage.cli.{COMMANDS[name].module}").parser(f"moorage {name}")
    try:
        parser.parse_args(arguments)
    except SystemExit as end:
        return None if end.code in (0, None) else "its own parser does not take it"
    return None


def tasks() -> set[str]:
    """Every task of the Taskfile and of those that it includes."""
    root = yaml.safe_load((ROOT / "Taskfile.yml").read_text())
    found = set(root["tasks"])
    for prefix, included in root["includes"].items():
        path = ROOT / (included if isinstance(included, str) else included["taskfile"])
        found |= {f"{prefix}:{name}" for name in yaml.safe_load(path.read_text())["tasks"]}
    return found


def judge_task(words: Sequence[str]) -> str | None:
    named = words[: words.index("--")] if "--" in words else words
    unknown = [each for each in named if each not in tasks()]
    return f"there is no task {', '.join(unknown)}" if unknown else None


def judge_helm(words: Sequence[str]) -> str | None:
    does = next((each for each in HELM if tuple(words[: len(each)]) == each), None)
    if does is None:
        return "no test lets helm do this"
    rest = words[len(does) :]
    if not " ".join(rest).startswith(HELM[does]):
        return f"tests say helm {' '.join(does)} {HELM[does]}"
    charts = [each.partition("/")[2] for each in rest if each.startswith("moorage/")]
    if does == ("upgrade",) and (len(charts) != 1 or charts[0] not in (UMBRELLA, *CHARTS)):
        return "it names no chart of ours"
    given = [value for flag, value in itertools.pairwise(rest) if flag == "--set"]
    return next((said for each in given if (said := judge_value(charts[0], each)) is not None), None)


def judge_value(chart: str, given: str) -> str | None:
    """Whether a chart takes a value; helm's own list of several is not used here."""
    if chart == UMBRELLA:
        chart, _, given = given.partition(".")
        if chart not in CHARTS:
            return f"{UMBRELLA} has no part {chart}"
    if given in WRONG_ON_PURPOSE:
        return None
    path, _, value = given.partition("=")
    tree: Any = yaml.safe_load(value)
    if tree is None:
        return None if known(chart, path.split(".")) else f"{chart} has no value {path}"
    for key in reversed(path.split(".")):
        tree = {key: tree}
    found = values.mistakes(chart, parse("values.yaml", yaml.safe_dump(tree).encode()))
    return f"{chart}: {found[0]}" if found else None


def known(chart: str, path: Sequence[str]) -> bool:
    schema: Any = values.schema_of(chart)
    for key in path:
        schema = schema.get("properties", {})
        if key not in schema:
            return False
        schema = schema[key]
    return True


def judge_kubectl(words: Sequence[str]) -> str | None:
    if words[0] == "moorage":
        return judge_ours(words[1:])
    if words[0] not in KUBECTL:
        return "no test lets kubectl do this"
    if "--" not in words:
        return None
    inner = words[words.index("--") + 1 :]
    return None if inner[0] != "/usr/local/bin/moorage" else judge_ours(inner[1:])


JUDGES: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    "moorage": judge_ours,
    "./taskw": judge_task,
    "helm": judge_helm,
    "kubectl": judge_kubectl,
}


def judged(words: tuple[str, ...]) -> str | None:
    """What is wrong with a command, or None."""
    line = " ".join(words)
    if any(line.startswith(each) for each in (*RUN, *NOT_RUN)):
        return None
    judge = JUDGES.get(words[0])
    return judge(words[1:]) if judge is not None and len(words) > 1 else "nobody knows this command"


@pytest.mark.parametrize("command", ALL, ids=str)
def test_somebody_knows_the_command(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = judged(command.words)
    assert wrong is None, f"{command}\n{wrong}\n{capsys.readouterr().err}"


def test_the_pages_are_full_of_commands() -> None:
    pages = {each.page for each in ALL}
    assert {"README.md", "CONTRIBUTING.md", "docs/guides/install.md", "docs/guides/troubleshooting.md"} <= pages
    assert len(ALL) > 100


@pytest.mark.parametrize(
    "words",
    [
        ("moorage", "evictor", "--onse"),
        ("moorage", "pods"),
        ("./taskw", "docs:biuld"),
        ("helm", "upgrade", "x", "moorage/castai-evicter"),
        ("helm", "upgrade", "x", "moorage/castai-evictor", "--set", "dryRnu=false"),
        ("helm", "upgrade", "x", "moorage/castai-evictor", "--set", "nothing.here=null"),
        ("helm", "plugin", "install"),
        ("kubectl", "edit", "nodes"),
        ("kubectl", "exec", "x", "--", "/usr/local/bin/moorage", "chekc"),
        ("terraform", "destroy"),
        ("rm", "-rf", "x"),
    ],
)
def test_a_wrong_one_is_found(words: tuple[str, ...]) -> None:
    assert judged(words)


@pytest.mark.parametrize("test", sorted(set(RUN.values())))
def test_the_tests_that_run_commands_are_there(test: str) -> None:
    path, _, function = test.partition("::")
    assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_tables_hold_nothing_that_no_page_says() -> None:
    lines = [" ".join(each.words) for each in ALL]
    assert [each for each in (*RUN, *NOT_RUN) if not any(line.startswith(each) for line in lines)] == []
    assert all(any(each in line for line in lines) for each in WRONG_ON_PURPOSE)


def test_commands_inside_sentences_name_what_there_is() -> None:
    """In the middle of a sentence commands are often cut short: subcommands, options and tasks must exist."""
    wrong = []
    for page in sorted({each.page for each in ALL} | {"SECURITY.md", "docs/threat-model.md", "docs/providers.md"}):
        for said in re.findall(r"`((?:moorage|\./taskw) [^`]+)`", (ROOT / page).read_text()):
            wrong += [f"{page}: {said}" for words in simple(said.replace("[", " ").replace("]", " ")) if cut(words)]
    assert wrong == []


def cut(words: tuple[str, ...]) -> bool:
    """Whether a command that may be cut short names something that is not there."""
    if words[0] == "./taskw":
        return words[1] not in tasks() and "*" not in words[1]
    if words[0] != "moorage" or words[1] in ("COMMAND", "--help"):
        return False
    if words[1] not in COMMANDS:
        return True
    parser: Any = importlib.import_module(f"moorage.cli.{COMMANDS[words[1]].module}").parser("moorage")
    options = {option for action in parser._actions for option in action.option_strings}
    return any(each.startswith("--") and each.partition("=")[0] not in options for each in words[2:])
