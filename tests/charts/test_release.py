"""Archives of a release name the given image repository. Without one none are written."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import CHARTS, EVICTOR, PINNER, PLANNER, render
from tools.charts import __main__ as tool
from tools.charts.release import default_image

IMAGE = "registry.example.com:5000/acme/moorage"


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_the_archives_name_the_releasers_image(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["package", "--folder", str(tmp_path)]
    if by == "flag":
        arguments += ["--image-repository", IMAGE]
    else:
        monkeypatch.setenv(tool.IMAGE_VARIABLE, IMAGE)
    assert tool.main(arguments) == 0
    archives = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [each.name for each in archives] == [f"{each}-2.0.0.tgz" for each in (EVICTOR, PINNER, "moorage", PLANNER)]
    for archive in archives:
        deployments = render(archive).all("Deployment")
        assert len(deployments) == (3 if archive.name.startswith("moorage-2") else 1), "an umbrella has its parts in it"
        for each in deployments:
            assert each["spec"]["template"]["spec"]["containers"][0]["image"] == f"{IMAGE}:2.0.0"
        with tarfile.open(archive) as opened:
            texts = {each.name: opened.extractfile(each) for each in opened.getmembers()}
            content = b"".join(file.read() for file in texts.values() if file is not None)
        assert default_image().encode() not in content
        assert f"{IMAGE}:2.0.0".encode() in content  # what Artifact Hub shows
    changed = [file for file in CHARTS.rglob("*") if file.is_file() and IMAGE in file.read_text()]
    assert not changed, "copies are, not the checkout"


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("", "Push the image (docs/guides/image.md)"),
        ("registry.example.com/moorage:2.0.0", "write it without a tag"),
        ("https://registry.example.com/moorage tag", "is not an image repository"),
        ("us-docker.pkg.dev/castai-hub/library/pod-pinner", "an image of the closed product"),
        ("mirror.example.com/castai/pod-pinner", "an image of the closed product"),
    ],
)
def test_nothing_is_packaged_without_an_image_that_can_be_ours(
    image: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "charts"
    assert tool.main(["package", "--folder", str(folder), "--image-repository", image]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert not folder.exists()


def test_without_a_flag_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(tool.IMAGE_VARIABLE, raising=False)
    assert tool.main(["package", "--folder", str(tmp_path)]) == 1
    assert "--image-repository REPOSITORY, or MOORAGE_IMAGE_REPOSITORY" in capsys.readouterr().err


def test_the_checkouts_chart_names_what_its_schema_says() -> None:
    for chart in (PINNER, PLANNER, EVICTOR):
        defaults = yaml.safe_load((CHARTS / chart / "files" / "defaults.yaml").read_text())
        assert defaults["image"]["repository"] == default_image()
        assert render(chart).container["image"] == f"{default_image()}:2.0.0"
        version = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["appVersion"]
        assert not version.startswith("v"), "a tag that begins like this counts as the closed product's"
