"""How the files of a release were made: an in-toto statement with SLSA's provenance.

Sources: https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance. The statement has no times: two runs on
one commit give one text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.release.archives import digest
from tools.release.bill import locked
from tools.release.source import Source

REPOSITORY = "https://github.com/moorage/moorage"
BUILD_TYPE = f"{REPOSITORY}/blob/main/CONTRIBUTING.md#release"
LOCKS = ("image", "image-build", "dev", "go")
"""The locked requirements that the image, the wheels and the tools are made with."""


def statement(
    files: Sequence[Path], image: Mapping[str, str], version: str, source: Source, root: Path
) -> dict[str, Any]:
    """Describe the files.

    Args:
        files: of the release; each is a subject.
        image: the image's name and digest, which is a subject, too.
        version: of the release.
        source: the commit.
        root: of the checkout.
    """
    subjects = [{"name": each.name, "digest": {"sha256": digest(each)}} for each in sorted(files)]
    subjects += [{"name": name, "digest": {"sha256": value.removeprefix("sha256:")}} for name, value in image.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": version, "images": sorted(image)},
                "internalParameters": {
                    "sourceDateEpoch": source.epoch,
                    "changedFiles": list(source.changed),
                },
                "resolvedDependencies": list(_materials(source, root)),
            },
            "runDetails": {"builder": {"id": f"{REPOSITORY}/blob/{source.commit}/tools/release"}},
        },
    }


def text(made: Mapping[str, Any]) -> str:
    """The statement as it is stored and signed."""
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def _materials(source: Source, root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"uri": f"git+{REPOSITORY}", "digest": {"gitCommit": source.commit}}]
    for name in LOCKS:
        path = root / "requirements" / f"{name}.txt"
        uri = f"git+{REPOSITORY}#requirements/{path.name}"
        found.append({"uri": uri, "name": path.name, "digest": {"sha256": digest(path)}})
    found += [{"uri": each["purl"]} for each in locked(root / "requirements" / "image.txt")]
    return found
