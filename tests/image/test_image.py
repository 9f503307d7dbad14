"""The properties of the image, checked in the archive that clusters load."""

from __future__ import annotations

import _imp
import ast
import importlib.metadata
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import tools.image
from moorage.cli.main import COMMANDS
from tools.image import indexes, inputs
from tools.image.archive import Archive
from tools.image.assemble import within
from tools.image.sandbox import SHARED, USER, Sandbox

pytestmark = pytest.mark.containers

LIBRARY = "usr/local/lib/moorage"
LIMIT = 150_000_000  # bytes beyond the base
SHELLS = {"sh", "bash", "dash", "ash", "ksh", "zsh", "csh", "tcsh", "fish", "busybox", "toybox"}
MANAGERS = {"apt", "apt-get", "dpkg", "pip", "pip3", "uv", "apk", "rpm", "dnf", "perl", "curl", "wget"}


def test_it_adds_at_most_150_mb_to_its_base(image: Archive, ours: Path) -> None:
    added = sum(path.lstat().st_size for path in files(ours))
    assert added == image.unpacked_size(slice(1, None)), "no layer hides what another one brought"
    assert added <= LIMIT


def test_nothing_in_it_runs_commands_or_installs_packages(sandbox: Sandbox) -> None:
    executables = [path for path in files(sandbox.root) if path.lstat().st_mode & 0o111 and ".so" not in path.name]
    assert {path.name for path in executables} & (SHELLS | MANAGERS) == set()
    scripts = {}
    for path in (path for path in executables if path.parent.name in {"bin", "sbin"} and not path.is_symlink()):
        if (first := path.read_bytes()[:80]).startswith(b"#!"):
            scripts[path.name] = first.splitlines()[0].decode()
    assert scripts["moorage"].endswith("-IB")
    for script, interpreter in scripts.items():
        inside = sandbox.root / interpreter[2:].split()[0].lstrip("/")
        assert inside.resolve().name.startswith("python3"), script


def test_nobody_gains_rights_in_it(sandbox: Sandbox) -> None:
    for path in sandbox.root.rglob("*"):
        assert not path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID), path
        if not path.is_symlink():
            assert "security.capability" not in os.listxattr(path), path


def test_its_user_can_write_nothing_but_the_usual_places(sandbox: Sandbox) -> None:
    writable = set()
    for path in sandbox.root.rglob("*"):
        info = path.lstat()
        rights = stat.S_IWOTH
        rights |= stat.S_IWUSR if info.st_uid == USER else 0
        rights |= stat.S_IWGRP if info.st_gid == USER else 0
        if info.st_mode & rights and not path.is_symlink():
            writable.add(path.relative_to(sandbox.root).as_posix())
    assert not [path for path in writable if (sandbox.root / path).is_file()]
    assert writable <= {"home/nonroot", "tmp", "var/tmp", "var/lock", "run/lock"}, "what every base has"


def test_everything_it_adds_belongs_to_root(ours: Path) -> None:
    for path in ours.rglob("*"):
        info = path.lstat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o022) == (0, 0, 0), path


def test_it_starts_as_a_number_that_kubelets_can_check(image: Archive) -> None:
    """runAsNonRoot refuses names: a kubelet cannot know whose they are."""
    config = image.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/local/bin/moorage"]
    assert config.get("Cmd") is None
    assert config["WorkingDir"] == "/"


def test_labels_say_what_it_is(image: Archive) -> None:
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): text for name, text in image.labels.items() if name.startswith(prefix)}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("moorage", inputs.version(), "Apache-2.0")
    assert re.fullmatch(r"unknown|[0-9a-f]{40}(-dirty)?", labels["revision"])
    if labels["revision"] != "unknown":
        commit = labels["revision"].removesuffix("-dirty")
        assert (
            subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=inputs.ROOT, check=False).returncode
            == 0
        )
    assert labels["source"] == labels["url"] == "https://github.com/moorage/moorage"
    assert labels["description"]
    assert labels["documentation"].startswith(labels["source"])


def test_the_archive_carries_the_whole_name(image: Archive) -> None:
    assert tools.image.name() == f"ghcr.io/moorage/moorage:{inputs.version()}"
    assert image.annotations["io.containerd.image.name"] == tools.image.name()
    assert image.config["os"] == "linux"


def test_it_says_its_version_on_a_read_only_root(sandbox: Sandbox) -> None:
    done = sandbox.run("version", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["version"] == inputs.version()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(sandbox: Sandbox, command: str) -> None:
    done = sandbox.run(*([command] if command else []), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"moorage {command or 'COMMAND'}" in done.stdout


def test_wrong_settings_are_a_sentence(sandbox: Sandbox) -> None:
    done = sandbox.run("pod-pinner", environ={"MOORAGE_LOG_LEVEL": "loud"})
    assert done.returncode == 2
    assert "MOORAGE_LOG_LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_and_folders_of_the_caller_do_not_decide_what_is_imported(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    tmp_path.chmod(0o755)
    done = sandbox.run(
        "version", "-o", "json", environ={"PYTHONPATH": SHARED, "PYTHONSTARTUP": SHARED}, shared=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_module_is_compiled_and_never_compared_with_its_source_again(sandbox: Sandbox) -> None:
    """A read-only root cannot store the bytecode of the first start, so every start would compile again."""
    seen = 0
    for source in sandbox.root.rglob("*.py"):
        if not source.relative_to(sandbox.root).as_posix().startswith((f"usr/lib/{minor(sandbox)}/", LIBRARY)):
            continue  # Debian's own helpers: nothing of ours imports them
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-{minor(sandbox)[6:].replace('.', '')}.pyc"
        header = compiled.read_bytes()[:16]
        assert int.from_bytes(header[4:8], "little") == 0b01, f"{source}: hash-based, unchecked (PEP 552)"
        magic = int.from_bytes(header[:4], "little")  # of the image's Python, not of this one
        assert header[8:16] == _imp.source_hash(magic, within(sandbox.root, source).read_bytes()), source
        seen += 1
    assert seen > 1000


def test_starting_compiles_nothing(sandbox: Sandbox) -> None:
    """`-v` names where each module's code came from."""
    done = sandbox.run(
        "/usr/bin/python3", "-IBv", "-c", f"import sys; sys.path.insert(0, '/{LIBRARY}'); {everything(sandbox)}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    origins = re.findall(r"# code object from '?([^'\n]+)", done.stderr)
    assert any(origin.endswith(".pyc") for origin in origins)
    assert [origin for origin in origins if origin.endswith(".py")] == []


def test_bytecode_names_files_as_they_are_inside(ours: Path) -> None:
    """Else tracebacks would name folders of whoever built it."""
    compiled = (ours / LIBRARY / "moorage/cli/__pycache__").glob("main.*.pyc")
    assert f"/{LIBRARY}/moorage/cli/main.py".encode() in next(compiled).read_bytes()


def test_the_bill_of_materials_lists_every_distribution(image: Archive, sandbox: Sandbox) -> None:
    text = (sandbox.root / "usr/share/moorage/sbom.cdx.json").read_text()
    assert tools.image.sbom().read_text() == text
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    components = [bill["metadata"]["component"], *bill["components"]]
    listed = {each["name"]: each["version"] for each in components if each["purl"].startswith("pkg:pypi/")}
    installed = importlib.metadata.distributions(path=[str(sandbox.root / LIBRARY)])
    assert listed == {each.metadata["Name"]: each.version for each in installed}
    assert listed["moorage"] == inputs.version()
    assert (
        locked("image.txt").items() <= {name.lower().replace("_", "-"): text for name, text in listed.items()}.items()
    )
    packages = {each["name"] for each in components if each["purl"].startswith("pkg:deb/")}
    assert packages == {path.name for path in (sandbox.root / "var/lib/dpkg/status.d").iterdir()}
    references = {each["bom-ref"] for each in components}
    assert len(references) == len(components)
    assert {other for each in bill["dependencies"] for other in each["dependsOn"]} <= references
    of_ours = next(each for each in bill["dependencies"] if each["ref"] == bill["metadata"]["component"]["bom-ref"])
    assert any(reference.startswith("pkg:pypi/aiohappyeyeballs@") for reference in of_ours["dependsOn"])


def test_installed_lists_name_only_files_that_are_there(ours: Path) -> None:
    """Scanners read RECORD, so files that are left out must not be in it."""
    for distribution in importlib.metadata.distributions(path=[str(ours / LIBRARY)]):
        assert distribution.files, distribution.metadata["Name"]
        for file in distribution.files:
            assert (ours / LIBRARY / str(file)).exists(), file


def test_no_layer_knows_where_packages_came_from_or_where_it_was_built(image: Archive, ours: Path) -> None:
    names = {path.relative_to(ours).as_posix() for path in ours.rglob("*")}
    assert not names & {"etc/pip.conf", "root/.netrc", "etc/moorage-build", "etc/moorage-build/ca.crt", "build"}
    assert not [name for name in names if name.endswith(("direct_url.json", ".netrc", "pip.conf"))]
    secrets = {value.encode() for value in private_words()}
    haystack = [json.dumps([image.config, image.manifest]).encode(), *image.layers()]
    for secret in secrets:
        assert not any(secret in each for each in haystack), "a layer or the history names this machine or its index"


def test_history_passes_no_settings(image: Archive) -> None:
    """Build arguments stay readable in the history: packages' whereabouts must never be among them."""
    text = json.dumps(image.config["history"])
    for word in ("index", "PIP_", "UV_", "http://", "proxy", "PROXY", "token", "password"):
        assert word not in text, word


def private_words() -> Iterator[str]:
    """The checkout's path, and hosts and credentials of package settings that are this machine's own."""
    yield f"{inputs.ROOT}/"
    settings = indexes.pip_settings(os.environ)
    for key in ("index-url", "extra-index-url", "proxy"):
        for url in settings.get(key, "").split():
            parts = urlsplit(url)
            for word in (parts.hostname, parts.username, parts.password):
                if word and len(word) > 3 and word not in {"pypi.org", "files.pythonhosted.org", "localhost"}:
                    yield word


def files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_symlink() or path.is_file())


def minor(sandbox: Sandbox) -> str:
    (found,) = (sandbox.root / "usr/bin").glob("python3.*")
    return found.name


def everything(sandbox: Sandbox) -> str:
    """Imports of every module of Moorage, and of their dependencies."""
    package = sandbox.root / LIBRARY / "moorage"
    modules, foreign = set(), set()
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            modules.add(".".join(parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                foreign |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                foreign.add(node.module)
    return f"import {', '.join(sorted(modules | foreign))}"


def locked(name: str) -> dict[str, str]:
    text = (inputs.ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))
