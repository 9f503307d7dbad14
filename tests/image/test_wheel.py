"""The wheel: installed by one command from an index, outside of the repository, with every file that it reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.containers import unable
from tests.unit.evictor.sources.dumps import CLUSTER, listed

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "moorage"
NO_INDEX = ("Failed to fetch", "dns error", "Could not connect", "client error (Connect)", "error sending request")
"""What uv says where no index is reached."""


def uv(*arguments: str, cwd: Path, program: str = "uv") -> subprocess.CompletedProcess[str]:
    """Run uv without anything of this repository. If it reaches no index, the test is skipped; in CI it fails."""
    found = shutil.which(program) or str(Path(sys.executable).parent / program)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MOORAGE_", "KUBE", "PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [found, *arguments], cwd=cwd, env=kept | {"NO_COLOR": "1"}, capture_output=True, text=True, timeout=240
    )
    if done.returncode and any(words in done.stderr for words in NO_INDEX):
        unable(f"uv builds and installs the wheel's dependencies from a package index: {done.stderr.splitlines()[-1]}")
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    done = uv("build", "--wheel", "--out-dir", str(out), str(ROOT / "runtime"), cwd=out)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    expected = {
        f"moorage/{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(name.endswith(".schema.json") for name in expected)
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        scripts = content.read(points).decode()
    assert expected - names == set()
    assert "moorage = moorage.cli:main" in scripts
    assert "kubectl-moorage = moorage.cli:main" in scripts


def test_one_command_looks_at_a_cluster_once(wheel: Path, tmp_path: Path) -> None:
    dump = tmp_path / "cluster.json"
    dump.write_text(json.dumps(listed(*CLUSTER)))
    arguments = ("evictor", "--once", "--from", str(dump), "-o", "json")
    done = uv("--isolated", "--from", str(wheel), "moorage", *arguments, cwd=tmp_path, program="uvx")
    assert done.returncode in (0, 3), done.stderr
    assert json.loads(done.stdout)["nodes"]
    rules = tmp_path / "rules.yaml"
    rules.write_text("evictionConfig: []\n")
    done = uv(
        "--isolated", "--from", str(wheel), "moorage", "validate", "rules", str(rules), cwd=tmp_path, program="uvx"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = uv("--isolated", "--from", str(wheel), "kubectl-moorage", "status", "--help", cwd=tmp_path, program="uvx")
    assert done.stdout.startswith("usage: kubectl moorage status"), done.stderr
