"""Messages when the image cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest

import tools.image
from tests import containers
from tools.image import __main__ as command
from tools.image import build, debian, inputs
from tools.image.errors import ImageError


def silent(_text: str) -> None:
    """For who wants no progress."""


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> build.Builder:
    """Builds into folders of its own, with a buildah that knows no image and fails at once."""
    containers.require("image")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/buildah"
    fake.write_text("#!/bin/sh\necho STEP 1/2: one\necho the disk is full\nexit 3\n")
    fake.chmod(0o755)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin"
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(debian, "fetch", lambda *_arguments: [])
    monkeypatch.setattr(debian, "write_root", lambda *_arguments: None)
    made = build.Builder(silent, silent, {"HOME": str(tmp_path), "PATH": path})
    made.output = tmp_path / "output"
    for name in ("archive", "sbom", "_stamp", "log"):
        setattr(made, name, made.output / getattr(made, name).name)
    return made


@pytest.mark.containers
def test_a_failing_step_says_why_and_where_everything_is(builder: build.Builder) -> None:
    with pytest.raises(ImageError) as error:
        builder.build()
    assert "the disk is full\nbuildah build failed (exit code 3)" in str(error.value)
    assert str(builder.log) in str(error.value)
    assert not builder.archive.exists()
    assert not [path for path in builder.cache.iterdir() if path.name.startswith(("secrets-", "base-", "export-"))]


@pytest.mark.containers
def test_an_archive_without_its_key_is_built_again(builder: build.Builder) -> None:
    """The key is written last: a build that was killed before has not happened."""
    builder.output.mkdir()
    for path in (builder.archive, builder.sbom):
        path.touch()
    assert not builder.current()
    (builder.output / f"moorage-{inputs.version()}.key").write_text(inputs.key())
    assert builder.current()
    assert builder.build() == builder.archive, "nothing is run: this buildah would fail"


@pytest.mark.containers
def test_too_little_disk_is_said_before_anything_is_fetched(
    builder: build.Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "NEEDED_MIB", 10**9)
    with pytest.raises(
        ImageError, match=r"needs 1000000000 MiB of disk and .* has \d+; make room or set XDG_CACHE_HOME"
    ):
        builder.build()


def test_the_command_prints_one_sentence_when_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ensure() -> Path:
        raise ImageError("buildah is missing; install it")

    monkeypatch.setattr(tools.image, "ensure", ensure)
    monkeypatch.setattr(command, "interrupt_with_parent", lambda: None)
    assert command.main(["build"]) == 1
    assert capsys.readouterr() == ("", "image: buildah is missing; install it\n")
