"""The image's bill of materials. Runs inside the build beside `assemble`, on the standard library alone."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path


def bill(libraries: list[Path], base: Path) -> str:
    """Write the bill of materials, CycloneDX 1.5: the installed distributions and the base's Debian packages.

    Args:
        libraries: folders of installed packages.
        base: root of the final base.

    Returns:
        JSON. Equal contents give equal text: it has no time, and a serial number from the components.
    """
    found = sorted(importlib.metadata.distributions(path=[str(path) for path in libraries]), key=canonical)
    names = {canonical(each): each for each in found}
    components = [python_component(each) for each in names.values()]
    graph = [
        {"ref": purl(each), "dependsOn": sorted(purl(names[name]) for name in requirements(each) if name in names)}
        for each in names.values()
    ]
    main = next(each for each in components if each["name"] == "moorage")
    others = [each for each in components if each is not main] + list(debian_components(base))
    digest = hashlib.sha256(json.dumps([main, others], sort_keys=True).encode()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.UUID(digest[:32])}",
        "version": 1,
        "metadata": {"component": {**main, "type": "application"}},
        "components": others,
        "dependencies": graph,
    }
    return json.dumps(document, indent=1) + "\n"


def python_component(distribution: importlib.metadata.Distribution) -> dict[str, object]:
    """Describe one installed distribution."""
    metadata = distribution.metadata
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": purl(distribution),
        "name": metadata["Name"],
        "version": distribution.version,
        "purl": purl(distribution),
    }
    if "License-Expression" in metadata:
        component["licenses"] = [{"expression": metadata["License-Expression"]}]
    elif named := [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License")
    ]:
        component["licenses"] = [{"license": {"name": name}} for name in named]
    return component


def debian_components(base: Path) -> Iterator[dict[str, object]]:
    """Describe the base's Debian packages, if the base lists them."""
    release = (base / "etc/os-release").read_text() if (base / "etc/os-release").exists() else ""
    distribution = re.search(r"^ID=\"?([a-z0-9]+)", release, re.MULTILINE)
    vendor = distribution.group(1) if distribution else "debian"
    paths = [base / "var/lib/dpkg/status", *sorted((base / "var/lib/dpkg/status.d").glob("*"))]
    for path in paths:
        if not path.is_file() or path.suffix == ".md5sums":
            continue
        for stanza in path.read_text(errors="replace").split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Architecture): (.+)$", stanza, re.MULTILINE))
            if len(fields) == 3:
                name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
                reference = f"pkg:deb/{vendor}/{name}@{version.replace(':', '%3A')}?arch={architecture}"
                yield {
                    "type": "library",
                    "bom-ref": reference,
                    "name": name,
                    "version": version,
                    "purl": reference,
                }


def requirements(distribution: importlib.metadata.Distribution) -> set[str]:
    """The names of a distribution's requirements, without extras."""
    wanted = (line for line in distribution.requires or [] if "extra ==" not in line)
    return {normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]) for line in wanted}


def canonical(distribution: importlib.metadata.Distribution) -> str:
    """A distribution's name as indexes compare it."""
    return normal(distribution.metadata["Name"])


def normal(name: str) -> str:
    """A name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def purl(distribution: importlib.metadata.Distribution) -> str:
    """The package URL of a distribution."""
    return f"pkg:pypi/{canonical(distribution)}@{distribution.version}"
