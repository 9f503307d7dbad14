"""The command as users run it: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from moorage.cli.main import COMMANDS

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MOORAGE_", "KUBE"))}
    return subprocess.run(
        [sys.executable, "-m", "moorage.cli", *arguments],
        capture_output=True,
        text=True,
        env={**clean, "PYTHONPATH": str(ROOT / "runtime"), **environment},
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), (), ("help",), ("help", "--help"), ("help", "help")])
def test_help_lists_every_command_examples_and_exit_codes(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "examples:" in done.stdout
    assert "130  interrupted" in done.stdout


@pytest.mark.parametrize("name", ["validate", "version"])
def test_help_and_a_command_is_that_commands_help(name: str) -> None:
    done = run("help", name)
    assert (done.returncode, done.stdout) == (0, run(name, "--help").stdout)


HEAVY = {
    "aiohttp",
    "cryptography",
    "google",
    "grpc",
    "jsonschema",
    "msgspec",
    "numpy",
    "prometheus_client",
    "python_socks",
    "rich",
    "uvloop",
    "yaml",
}
# They read files whatever they are asked, and nothing else.
NEEDED_ANYWAY = {"validate": {"jsonschema", "yaml"}, "convert": {"jsonschema", "yaml"}}


def loaded(program: str) -> tuple[set[str], str]:
    """The packages that a program of Python has loaded at its end, and its output."""
    show = "import sys; print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{show}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.strip("[]\n").replace("'", "").split(", ")), done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples_and_exit_codes_and_loads_nothing_heavy(command: str) -> None:
    found, told = loaded(f"from moorage.cli import main\nassert main([{command!r}, '--help']) == 0")
    assert f"moorage {command}" in told
    assert "examples:" in told
    assert "exit codes:" in told
    assert "argparse" in found
    assert not (HEAVY - NEEDED_ANYWAY.get(command, set())) & found


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    found, told = loaded("from moorage.cli import main\nassert main(['--help']) == 0")
    assert "examples:" in told
    assert not HEAVY & found


@pytest.mark.parametrize(
    ("module", "needless"),
    [
        ("moorage.pinner.service", {"aiohttp", "cryptography", "jsonschema", "rich", "yaml"}),
        ("moorage.planner.service", {"aiohttp", "cryptography", "numpy", "rich"}),
        ("moorage.pinner.commands.check.planner", {"aiohttp", "cryptography", "jsonschema", "numpy", "rich", "yaml"}),
        (
            "moorage.pinner.commands.check.rights, moorage.pinner.commands.check.fence, "
            "moorage.pinner.commands.check.installation",
            {"aiohttp", "cryptography", "grpc", "jsonschema", "numpy", "rich", "yaml"},
        ),
        ("moorage.pinner.commands.cleanup", {"aiohttp", "cryptography", "grpc", "jsonschema", "numpy", "rich", "yaml"}),
    ],
)
def test_a_program_loads_what_it_needs(module: str, needless: set[str]) -> None:
    found, _ = loaded(f"import {module}")
    assert "msgspec" in found
    assert "python_socks" not in found, "it is for clusters behind such a proxy"
    assert not needless & found


@pytest.mark.parametrize(
    ("module", "seldom"),
    [
        (
            "moorage.pinner.service, moorage.pinner.webhook.from_settings",
            ("moorage.drain", "moorage.pinner.withdrawal", "moorage.pinner.commands"),
        ),
        ("moorage.evictor.service", ("aiohttp", "cryptography", "grpc", "moorage.pinner", "moorage.planner", "rich")),
    ],
)
def test_a_service_keeps_nothing_in_memory_that_is_needed_seldom(module: str, seldom: tuple[str, ...]) -> None:
    found, _ = loaded(f"import sys, {module}\nassert not sys.modules.keys() & {set(seldom)}")
    assert "msgspec" in found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pod-piner",), "did you mean pod-pinner?"),
        (("frobnicate",), "there are pod-pinner, planner"),
        (("help", "pod-piner"), "did you mean pod-pinner? See moorage --help"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("version", "--nonsense"), "unrecognized arguments: --nonsense"),
        (("validate", "rules", "-", "-"), "standard input is there once only"),
        (("version", "-o", "yaml"), "invalid choice: 'yaml'"),
        (("pod-pinner",), "MOORAGE_PLANNER_ADDRESS (--planner-address) is not set"),
        (("pod-pinner", "--planner-address", "planner"), "write host and port"),
        (("pod-pinner", "--dry", "true"), "unrecognized arguments"),
        (("cleanup", "--kubeconfig", "/nowhere"), "cannot be read"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("moorage")
    assert words in line


def test_version_for_people_and_programs() -> None:
    assert run("version").stdout.strip() == metadata.version("moorage")
    assert run("--version").stdout.strip() == metadata.version("moorage")
    assert json.loads(run("version", "-o", "json").stdout)["version"] == metadata.version("moorage")


def test_a_key_is_not_shown_when_a_setting_is_wrong() -> None:
    done = run("pod-pinner", "--namespace", "X", MOORAGE_API_KEY="sesame-1234", MOORAGE_PLANNER_ADDRESS="planner:1")
    assert done.returncode == 2
    assert "sesame" not in done.stdout + done.stderr


def test_a_cluster_that_cannot_be_found_is_one_sentence(tmp_path: Path) -> None:
    done = run("cleanup", "--dry-run", HOME=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no kubeconfig" in line


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "moorage.cli", "pod-pinner", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)


def test_what_an_encoding_lacks_is_escaped_as_in_json(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.yaml")
    file.write_text("\u00e4\U0001f600: 1\n", encoding="utf-8")
    look = ("validate", "values", "--chart", "castai-evictor", str(file))
    for encoding in ("ascii", "utf-8"):
        done = run(*look, "-o", "json", PYTHONIOENCODING=f"{encoding}:strict")
        (found,) = json.loads(done.stdout)
        assert found["mistakes"][0]["path"] == '["\u00e4\U0001f600"]'
        assert found["file"].endswith("\udcff.yaml")
        assert run(*look, PYTHONIOENCODING=f"{encoding}:strict").returncode == done.returncode == 1


@pytest.mark.parametrize(
    ("redirected", "code", "words"),
    [
        ("<&-", 2, "moorage validate: <stdin>: cannot be read: standard input is closed\n"),
        (">&- </dev/null", 0, ""),
        (">/dev/full </dev/null", 1, "moorage: cannot write: No space left on device\n"),
    ],
)
def test_what_a_shell_may_do_to_files_is_no_fault(redirected: str, code: int, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m moorage.cli validate values - {redirected}', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (code, words)
