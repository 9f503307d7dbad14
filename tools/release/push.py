"""Pushes a release: first the image, then the charts, which name its digest. Nothing that is there is replaced."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.release import archives, images
from tools.release.errors import ReleaseError
from tools.release.registry import Registry, layer_of
from tools.release.verify import Release

RECORD = "pushed.json"


@dataclass(frozen=True)
class Pushed:
    """One artifact in the registry.

    Attributes:
        reference: with its tag.
        digest: of its manifest. Nobody knows that of a chart before helm has pushed it: None in a dry run.
        done: "pushed", "there already", or "would be pushed".
    """

    reference: str
    digest: str | None
    done: str


def push(
    release: Release, registry: Registry, say: Callable[[Pushed], None] = lambda _: None, *, dry_run: bool = False
) -> list[Pushed]:
    """Push a release. Doing it again pushes what is missing, and nothing else.

    Args:
        release: with verified files.
        registry: where the image gets to `moorage` and each chart to `charts/NAME`.
        say: is called after each artifact.
        dry_run: only look at what is there.

    Returns:
        The artifacts. Their record is written to pushed.json in the release's folder, unless it is a dry run.

    Raises:
        ReleaseError: the registry fails, the charts name another image, or a version is there with other content.
    """
    if (wanted := f"{registry.name}/moorage:{release.version}") != release.name:
        raise ReleaseError(
            f"the charts name the image {release.name}, and it would be pushed to {wanted}. Package them for this "
            f"registry: ./taskw release:package -- --image-repository {registry.name}/moorage"
        )
    # All are looked at before the first is pushed: a version that is there with other content stops everything.
    there = list(_there(release, registry))
    done = []
    for archive, found in zip((None, *release.charts), there, strict=True):
        done.append(_dry(found) if dry_run else _push(archive, found, release, registry))
        say(done[-1])
    if not dry_run:
        record = {"registry": registry.name, "artifacts": [asdict(each) for each in done]}
        (release.folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return done


def _there(release: Release, registry: Registry) -> Iterator[Pushed]:
    """What is in the registry of the image and of each chart: digest None if it is not there."""
    found = registry.digest(release.name)
    if found not in (None, release.image.digest):
        raise _other(release.name, found, release.image.digest)
    yield Pushed(release.name, found, "there already")
    for archive in release.charts:
        reference = chart_reference(archive, release, registry)
        manifest = registry.manifest(reference)
        if manifest is None:
            yield Pushed(reference, None, "there already")
            continue
        if (layer := layer_of(manifest)) != (ours := f"sha256:{archives.digest(archive)}"):
            raise _other(reference, layer or "something that is no chart", ours)
        yield Pushed(reference, registry.digest(reference), "there already")


def _other(reference: str, there: str | None, ours: str) -> ReleaseError:
    return ReleaseError(
        f"{reference} is there with other content: {there}, not {ours}. A version is never replaced: nothing has been "
        "pushed. Release another version (./taskw release:version)"
    )


def _dry(found: Pushed) -> Pushed:
    return found if found.digest else Pushed(found.reference, None, "would be pushed")


def _push(archive: Path | None, found: Pushed, release: Release, registry: Registry) -> Pushed:
    """Push a chart, or the image for None, unless it is there; then ask the registry what it has."""
    if found.digest:
        return found
    if archive is None:
        with tempfile.TemporaryDirectory(prefix="moorage-image-") as place:
            registry.push_layout(images.unpack(release.image, Path(place)), found.reference, release.image.several)
    else:
        registry.push_chart(archive, f"{registry.name}/charts", release.epoch)
    digest = registry.digest(found.reference)
    if digest is None or (archive is None and digest != release.image.digest):
        raise ReleaseError(f"{found.reference} was pushed and the registry answers {digest}; look at the registry")
    return Pushed(found.reference, digest, "pushed")


def chart_reference(archive: Path, release: Release, registry: Registry) -> str:
    """Where a chart's archive gets to. Helm writes `+` of a version as `_`; ours have none."""
    return f"{registry.name}/charts/{archive.name.removesuffix(f'-{release.version}.tgz')}:{release.version}"
