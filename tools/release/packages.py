"""Makes every file of a release in a folder that appears in one step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from tools.charts.release import named_image, release_copy
from tools.helmrepo.repository import charts, package
from tools.release import archives, bill, images, provenance, signing, source, versions
from tools.release.changes import changes
from tools.release.errors import ReleaseError

RELEASES = versions.ROOT / "build" / "release"
RECORD = "release.json"
STATEMENT, ENVELOPE = "provenance.json", "provenance.dsse.json"
SIGNATURE, PUBLIC_KEY = f"{archives.SUMS}.sig", "release.pub"
_PROJECTS = ("runtime", "pulumi")


@dataclass(frozen=True)
class Wanted:
    """What to make.

    Attributes:
        repository: of the image, without a tag.
        image: an OCI archive; None builds the image of this checkout.
        image_bill: the image's bill of materials, if the archive comes from elsewhere and has one.
        key: signs checksums and provenance; None leaves them unsigned.
        changed: whether a checkout with changed files may be packaged.
    """

    repository: str
    image: Path | None = None
    image_bill: Path | None = None
    key: EllipticCurvePrivateKey | None = None
    changed: bool = False


def make(wanted: Wanted, target: Path | None = None, root: Path = versions.ROOT) -> Path:
    """Make a release of the checked out commit.

    Args:
        wanted: its image and its key.
        target: the folder, replaced in one step. Default: build/release/VERSION.
        root: of the checkout.

    Returns:
        The folder.

    Raises:
        ReleaseError: versions differ, files are changed, or something cannot be built.
        RepositoryError: helm refuses a chart.
        ImageError: the image cannot be built here.
    """
    version, made_of = versions.current(root), source.read(root)
    repository = named_image(wanted.repository)
    if made_of.changed and not wanted.changed:
        raise ReleaseError(
            f"{', '.join(made_of.changed[:5])} differ from commit {made_of.commit[:12]}; commit them, or package them "
            "with --dirty, which the provenance tells"
        )
    target = target or RELEASES / version
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as place:
        new = Path(place, "new")
        new.mkdir()
        image = _image(wanted, new, version)
        _Maker(root, Path(place), new, version, made_of).files(repository, image)
        _describe(new, f"{repository}:{version}", image, version, made_of, root, wanted.key)
        if target.exists():
            target.rename(Path(place, "old"))
        new.rename(target)
    return target


def _image(wanted: Wanted, folder: Path, version: str) -> images.Image:
    from tools import image as built

    archive = wanted.image or built.ensure()
    found = images.read(archive)
    described = wanted.image_bill or (None if wanted.image else built.sbom())
    copy = folder / f"moorage-{version}.oci.tar"
    shutil.copyfile(archive, copy)
    if described is not None:
        shutil.copyfile(described, folder / f"moorage-{version}-image.cdx.json")
    return images.Image(copy, found.digest, found.several)


@dataclass(frozen=True)
class _Maker:
    """Makes the files.

    Attributes:
        root: of the checkout.
        place: for copies of sources.
        folder: for the files.
        version: of the release.
        source: the commit.
    """

    root: Path
    place: Path
    folder: Path
    version: str
    source: source.Source

    def files(self, repository: str, image: images.Image) -> None:
        """Wheels, charts, Terraform's modules and the bill of materials."""
        tracked = self.place / "tracked"
        tracked.mkdir()
        source.copy([*_PROJECTS, "charts", "terraform", "LICENSE"], tracked, self.root)
        for project in _PROJECTS:
            shutil.copyfile(tracked / "LICENSE", tracked / project / "LICENSE")
            self._python(tracked / project)
        released = self.place / "charts"
        for chart in charts(tracked / "charts"):
            copy = release_copy(chart, released, repository, digest=image.digest, changes=changes(self.root))
            archives.sort(package(copy, self.folder, self.source.epoch), self.source.epoch)
        self._terraform(tracked / "terraform", released)
        (wheel,) = self.folder.glob("moorage-*.whl")
        text = bill.bill(self.root / "requirements" / "image.txt", wheel, self.version)
        (self.folder / f"moorage-{self.version}-python.cdx.json").write_text(text, "utf-8")

    def _python(self, project: Path) -> None:
        # The locked hatchling of this environment: no build environment is made, so nothing is fetched.
        command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(self.folder)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(self.source.epoch), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ReleaseError(f"{project.name} cannot be built: {done.stdout}{done.stderr}".strip())

    def _terraform(self, modules: Path, released: Path) -> None:
        """Modules with the charts where they look for them."""
        tree = self.place / "modules"
        shutil.copytree(modules, tree / "terraform")
        shutil.copytree(released, tree / "charts")
        name = f"moorage-terraform-{self.version}"
        archives.pack(tree, self.folder / f"{name}.tar.gz", name, self.source.epoch)


def _describe(
    folder: Path,
    name: str,
    image: images.Image,
    version: str,
    made_of: source.Source,
    root: Path,
    key: EllipticCurvePrivateKey | None,
) -> None:
    """Write record, provenance, checksums and signatures."""
    record = {
        "version": version,
        "commit": made_of.revision,
        "epoch": made_of.epoch,
        "image": name,
        "digest": image.digest,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    made = provenance.statement(list(_files(folder)), {name: image.digest}, version, made_of, root)
    (folder / STATEMENT).write_text(provenance.text(made), "utf-8")
    archives.write_sums(_files(folder), folder / archives.SUMS)
    if key is not None:
        signed = signing.signature(key, (folder / archives.SUMS).read_bytes())
        (folder / SIGNATURE).write_text(signed + "\n", "utf-8")
        (folder / ENVELOPE).write_text(signing.envelope(key, (folder / STATEMENT).read_bytes()), "utf-8")
        (folder / PUBLIC_KEY).write_text(signing.public_text(key), "utf-8")


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(each for each in folder.iterdir() if each.is_file())
