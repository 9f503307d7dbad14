"""The steps of the image's build, without the build: what is left out, what is refused, what must not leak."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.machinery import SourcelessFileLoader
from pathlib import Path

import pytest
import uvloop.loop

from tests import containers
from tools.image import archive, assemble, debian, elf, indexes, inputs
from tools.image.errors import ImageError

# Shared objects -----------------------------------------------------------------------------------------------------

LOOP = Path(uvloop.loop.__file__)


def test_needed_libraries_are_those_the_loader_opens() -> None:
    assert "libc.so.6" in set(elf.needed_libraries(LOOP.read_bytes()))
    assert list(elf.needed_libraries(b"#!/bin/sh\n")) == []


def test_a_wheel_with_debugging_information_works_without_it(tmp_path: Path) -> None:
    before = LOOP.read_bytes()
    after = elf.without_debug(before)
    assert len(after) < len(before) / 2, "uvloop's wheels carry it"
    assert elf.without_debug(after) is after
    assert list(elf.needed_libraries(after)) == list(elf.needed_libraries(before))
    shutil.copytree(LOOP.parent, tmp_path / "uvloop", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "uvloop" / LOOP.name).write_bytes(after)
    script = "import asyncio, uvloop; print(uvloop.run(asyncio.sleep(0, 'ran')), uvloop.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == ["ran", str(tmp_path / "uvloop/__init__.py")], ran.stderr


def test_debugging_tools_still_read_what_is_left(tmp_path: Path) -> None:
    if shutil.which("readelf") is None:
        containers.unable("readelf (binutils) is not on this machine")
    stripped = tmp_path / "loop.so"
    stripped.write_bytes(elf.without_debug(LOOP.read_bytes()))
    sections, symbols = (
        subprocess.run(["readelf", "-W", flag, str(stripped)], capture_output=True, text=True, check=True)
        for flag in ("-S", "-s")
    )
    assert ".debug_info" not in sections.stdout
    assert ".symtab" in sections.stdout
    assert "PyInit_loop" in symbols.stdout
    assert "rror" not in sections.stderr + symbols.stderr


def test_files_of_other_kinds_stay_as_they_are() -> None:
    for content in (b"", b"INPUT(libfoo.so)", b"\x7fELF\x01\x01" + bytes(60)):
        assert elf.without_debug(content) is content


# What goes into the layers ------------------------------------------------------------------------------------------


def package(library: Path, *names: str) -> None:
    rows = [f"{name},," for name in (*names, "p-1.dist-info/RECORD", "p-1.dist-info/direct_url.json")]
    for name in (*names, "p-1.dist-info/direct_url.json"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text("")
    (library / "p-1.dist-info/RECORD").write_text("\n".join(rows) + "\n")


def test_what_nobody_reads_is_left_out_and_forgotten(tmp_path: Path) -> None:
    kept = ("p/__init__.py", "p/testing.py", "p/latest/x.py", "p/data.json", "p/py.typed", "p/contests.py")
    left_out = ("p/tests/test_x.py", "p/x.pyi", "p/x.pyx", "p/include/x.h", "p/_umath_tests.cpython-311.so", "bin/p")
    package(tmp_path, *kept, *left_out)
    assemble.prune(tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*kept, "p-1.dist-info/RECORD"}
    recorded = {line.split(",")[0] for line in (tmp_path / "p-1.dist-info/RECORD").read_text().splitlines()}
    assert recorded == found


def test_a_base_with_another_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/python3.9").mkdir(parents=True)
    (tmp_path / "usr/lib/python3.9/os.py").touch()
    with pytest.raises(
        assemble.AssemblyError, match=r"holds python3\.9 and the builder is python3\.\d+.*BASE=.*BUILDER="
    ):
        assemble.stdlib(tmp_path)


def test_a_base_without_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(assemble.AssemblyError, match="holds no Python"):
        assemble.stdlib(tmp_path)


@pytest.mark.parametrize("prefix", ["usr", "usr/local"])
def test_the_launcher_starts_the_python_of_the_base(tmp_path: Path, prefix: str) -> None:
    """Debian's and distroless Pythons are below /usr, those of the official Python images below /usr/local."""
    (tmp_path / prefix / "lib" / assemble.MINOR).mkdir(parents=True)
    (tmp_path / prefix / "lib" / assemble.MINOR / "os.py").touch()
    assert assemble.interpreter(tmp_path) == f"/{prefix}/bin/{assemble.MINOR}"


def test_a_base_without_a_needed_library_is_refused(tmp_path: Path) -> None:
    library, base = tmp_path / "library", tmp_path / "base"
    (library / "uvloop").mkdir(parents=True)
    shutil.copy(LOOP, library / "uvloop")
    (base / "usr/lib").mkdir(parents=True)
    with pytest.raises(assemble.AssemblyError, match=r"lacks libc\.so\.6 \(for uvloop\)"):
        assemble.check_shared_objects(library, base)
    for name in set(elf.needed_libraries(LOOP.read_bytes())):
        (base / "usr/lib" / name).touch()
    assemble.check_shared_objects(library, base)


def test_equal_inputs_make_equal_layers(tmp_path: Path) -> None:
    path = tmp_path / "p/x.py"
    path.parent.mkdir(mode=0o777)
    path.write_text("")
    path.chmod(0o666)
    assemble.settle(tmp_path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    assert {path.stat().st_mtime, path.parent.stat().st_mtime} == {assemble.EPOCH}


# What is said of it -------------------------------------------------------------------------------------------------


def test_the_dockerfile_tells_the_version_the_package_has() -> None:
    text = (inputs.ROOT / "runtime/Dockerfile").read_text()
    assert f"ARG VERSION={inputs.version()}\n" in text
    assert f"moorage:{inputs.version()} " in text


def test_the_image_runs_the_versions_the_tests_ran() -> None:
    def locked(name: str) -> dict[str, str]:
        text = (inputs.ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))

    assert locked("image.txt").items() <= locked("dev.txt").items()
    assert locked("image-build.txt").items() <= locked("dev.txt").items()


@pytest.mark.parametrize("name", ["image.txt", "image-build.txt"])
def test_every_requirement_is_hashed_and_names_no_index(name: str) -> None:
    text = (inputs.ROOT / "requirements" / name).read_text()
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_the_context_holds_what_the_dockerfile_copies_and_no_more() -> None:
    """A user's key or a cache in the checkout must not get into an image."""
    allowed = (inputs.ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[1] == "*"
    names = {line[1:] for line in allowed if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", (inputs.ROOT / "runtime/Dockerfile").read_text(), re.MULTILINE):
        copied |= {source.rstrip("/") for source in line.split()[:-1]}
    assert names == copied
    assert copied | {".dockerignore"} == set(inputs.SOURCES), "what is copied is what the key is made of"


def test_the_key_changes_with_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in (*inputs.SOURCES, *inputs.BASE_SOURCES, *inputs.BUILD_SOURCES):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        if (inputs.ROOT / source).is_dir():
            shutil.copytree(inputs.ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(inputs.ROOT / source, tmp_path / source)
    monkeypatch.setattr(inputs, "ROOT", tmp_path)
    keys = {inputs.key()}
    for source in ("runtime/moorage/__init__.py", *inputs.SOURCES[1:], *inputs.BASE_SOURCES, *inputs.BUILD_SOURCES):
        with (tmp_path / source).open("a") as file:
            file.write("#\n")
        assert inputs.key() not in keys, source
        keys.add(inputs.key())
    (tmp_path / "runtime/moorage/__pycache__").mkdir()
    (tmp_path / "runtime/moorage/__pycache__/x.pyc").touch()
    (tmp_path / "README.md").touch()
    assert inputs.key() in keys, "what the image does not hold builds nothing"


# Where packages come from -------------------------------------------------------------------------------------------


def settings_of(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read(path)
    return dict(parser["global"])


def test_package_settings_become_secrets_only_the_builder_can_read(tmp_path: Path) -> None:
    bundle = tmp_path / "corp.pem"
    bundle.write_text("PEM")
    (tmp_path / ".netrc").write_text("machine index.example login a password b")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TIMEOUT": "99"}
    (tmp_path / "pip.conf").write_text(f"[global]\nindex_url = https://index.example/simple\ncert = {bundle}\n")
    (tmp_path / "secrets").mkdir()
    found = indexes.secrets(environ, tmp_path / "secrets")
    assert found.keys() == {"pip.conf", "ca.crt", "netrc"}
    assert (found["ca.crt"], found["netrc"]) == (bundle, tmp_path / ".netrc")
    assert found["pip.conf"].stat().st_mode & 0o777 == 0o600
    written = settings_of(found["pip.conf"])
    assert written["index-url"] == "https://index.example/simple"
    assert written["timeout"] == "99"
    assert written["cert"] == indexes.INSIDE_BUNDLE, "a path inside the build, not this machine's"


def test_a_variable_wins_over_a_file_and_a_later_file_over_an_earlier(tmp_path: Path) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".pip/pip.conf").write_text("[global]\nretries = 1\ntimeout = 1\nproxy = http://a:1\n")
    (tmp_path / ".config/pip/pip.conf").write_text("[install]\ntimeout = 2\nproxy = http://b:1\n")
    environ = {"HOME": str(tmp_path), "PIP_PROXY": "http://c:1", "UV_INDEX_URL": "https://uv.example/simple"}
    found = indexes.pip_settings(environ)
    assert (found["retries"], found["timeout"], found["proxy"]) == ("1", "2", "http://c:1")
    assert found["index-url"] == "https://uv.example/simple"


def test_named_indexes_of_uv_lose_their_names() -> None:
    environ = {"PIP_CONFIG_FILE": os.devnull, "UV_INDEX": "corp=https://one.example/simple https://two.example/?a=b"}
    assert indexes.pip_settings(environ) == {"extra-index-url": "https://one.example/simple https://two.example/?a=b"}


def test_a_broken_settings_file_is_left_for_pip_to_tell(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("no section")
    assert "index-url" not in indexes.pip_settings(
        {"HOME": "/nonexistent", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    )


# Archives -----------------------------------------------------------------------------------------------------------


def tar(**entries: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        for name, text in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_what_a_layer_removes_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [
        tar(**{"a/x": "1", "a/y": "1", "b/z": "1", "c": "1"}),
        tar(**{"a/.wh.x": "", "b/.wh..wh..opq": "", "b/new": "2", ".wh.c": "", ".wh.never": ""}),
    ]
    monkeypatch.setattr(archive.Archive, "layers", lambda _self: iter(layers))
    image = archive.Archive(tmp_path / "x.tar", {}, {}, "", {})
    image.unpack(tmp_path / "root")
    found = {
        path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*") if path.is_file()
    }
    assert found == {"a/y", "b/new"}
    assert image.file("b/new") == b"2"
    with pytest.raises(ImageError, match="has no nothing"):
        image.file("nothing")


@pytest.mark.parametrize(
    "content", [b"", b"no tar", tar(**{"index.json": "{"}), tar(**{"index.json": '{"manifests": []}'})]
)
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"x\.tar is not an OCI archive of one image.*image:build"):
        archive.read(path)


def test_a_missing_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.tar"):
        archive.read(tmp_path / "gone.tar")


# The standard library ------------------------------------------------------------------------------------------------


def test_a_link_of_the_standard_library_leads_into_the_base_and_not_into_the_builder(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    folder = Path("usr/lib", assemble.MINOR)
    for file, text in (("os.py", ""), ("etc/customised.py", "where = 'base'")):
        path = base / (folder / file if file == "os.py" else file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (base / folder / "sitecustomize.py").symlink_to("/etc/customised.py")
    (base / folder / "missing.py").symlink_to("/etc/passwd")  # there is one in the builder

    assemble.compile_stdlib(base, out)

    compiled = out / folder / "__pycache__"
    assert sorted(path.name.partition(".")[0] for path in compiled.iterdir()) == ["os", "sitecustomize"]
    loader = SourcelessFileLoader("sitecustomize", str(next(compiled.glob("sitecustomize.*"))))
    code = loader.get_code("sitecustomize")
    assert code is not None
    assert code.co_filename == f"/{folder}/sitecustomize.py"
    assert "base" in code.co_consts


# Debian packages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "merged"),
    [("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"), ("./bin", "usr/bin"), (".", "."),
     ("./usr/lib/x", "usr/lib/x"), ("./etc/.pwd.lock", "etc/.pwd.lock"), ("./library", "library")],
)  # fmt: skip
def test_packages_older_than_the_merged_usr_fit_into_it(inside: str, merged: str) -> None:
    assert debian._merged(inside) == merged


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (
            "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
            "Types: deb\nURIs: http://mirror/debian\nSuites: trixie trixie-updates\nComponents: main\n",
        ),
        (
            "deb [signed-by=/keys/bookworm.gpg] http://mirror/bookworm/ bookworm-security main",
            "deb [signed-by=/keys/bookworm.gpg] http://mirror/bookworm/ trixie-security main",
        ),
        ("Suites: bookworm-pgdg bookworm-backports", "Suites: bookworm-pgdg bookworm-backports"),
        ("deb http://mirror/debian stable main", "deb http://mirror/debian stable main"),
    ],
)
def test_the_bases_are_of_the_release_of_the_public_ones(text: str, ours: str) -> None:
    assert debian.released(text, "bookworm") == ours
    assert debian.released(ours, debian.RELEASE) == ours


def test_the_release_of_the_local_bases_is_that_of_the_dockerfile() -> None:
    dockerfile = (inputs.ROOT / "runtime/Dockerfile").read_text()
    assert re.search(rf"^ARG BUILDER=\S+-{debian.RELEASE}$", dockerfile, re.MULTILINE)


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "bookworm"),
        ({"ID": "debian"}, ""),
        ({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"}, ""),
    ],
)
def test_only_a_debian_has_sources_to_rename(release: dict[str, str], name: str) -> None:
    assert debian.codename(release) == name


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"apt-get or dpkg-deb is missing.*docs/guides/image\.md"):
        debian.fetch(("base-files",), tmp_path, print)


# The archive -------------------------------------------------------------------------------------------------------


def layout(folder: Path, created: str) -> Path:
    """An image as buildah writes it, with the time of the build in its configuration."""
    (folder / "blobs/sha256").mkdir(parents=True)

    def add(content: object) -> dict[str, object]:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = hashlib.sha256(text).hexdigest()
        (folder / "blobs/sha256" / digest).write_bytes(text)
        return {"digest": f"sha256:{digest}", "size": len(text)}

    history = [{"created": created, "created_by": "COPY"}, {"created": created, "comment": f"FROM {created}"}]
    config = {"created": created, "config": {"Labels": {"a": "b"}}, "rootfs": {"diff_ids": []}, "history": history}
    base = {f"org.opencontainers.image.base.{key}": f"localhost/{created}" for key in ("name", "digest")}
    manifest = {"schemaVersion": 2, "config": add(config), "layers": [add(b"layer")], "annotations": base}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [add(manifest)]}))
    return folder


def test_the_same_layers_built_at_another_time_make_the_same_image(tmp_path: Path) -> None:
    for name, created in (("a", "2026-11-30T03:11:11.373755723Z"), ("b", "2027-01-01T00:00:00Z")):
        archive.write(layout(tmp_path / name, created), tmp_path / f"{name}.tar", "example.com/a:1", 1_700_000_000)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    made = archive.read(tmp_path / "a.tar")
    assert {made.config["created"], *(each["created"] for each in made.config["history"])} == {"2023-11-14T22:13:20Z"}
    assert made.labels == {"a": "b"}
    assert next(made.layers()) == b"layer"
    archive.write(layout(tmp_path / "c", "2027-01-01T00:00:00Z"), tmp_path / "c.tar", "example.com/a:1", 1_700_000_001)
    assert archive.read(tmp_path / "c.tar").digest != made.digest
