"""The bill of materials of the wheel: what requirements/image.txt locks by hash. The image has a bill of its own.

Format: CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/), as the image's (tools/image/bill.py).
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tools.release.archives import digest
from tools.release.errors import ReleaseError

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(requirements: Path, wheel: Path, version: str) -> str:
    """Describe the wheel and all its locked dependencies.

    Args:
        requirements: a file of requirements with hashes.
        wheel: the wheel of the runtime.
        version: of the wheel.

    Returns:
        JSON. Equal inputs give equal text: it has no time, and a serial number from the contents.

    Raises:
        ReleaseError: a requirement has no exact version or no hash.
    """
    components = locked(requirements)
    main = {
        "type": "application",
        "bom-ref": f"pkg:pypi/moorage@{version}",
        "name": "moorage",
        "version": version,
        "purl": f"pkg:pypi/moorage@{version}",
        "hashes": [{"alg": "SHA-256", "content": digest(wheel)}],
        "licenses": [{"expression": "Apache-2.0"}],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([main, components], sort_keys=True))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": main},
        "components": components,
    }
    return json.dumps(document, indent=1) + "\n"


def locked(requirements: Path) -> list[dict[str, Any]]:
    """The components that a file of requirements locks, in the order of their names.

    Raises:
        ReleaseError: a requirement has no exact version or no hash.
    """
    text = requirements.read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    return sorted((_component(line, requirements) for line in lines), key=lambda each: str(each["bom-ref"]))


def _component(line: str, place: Path) -> dict[str, Any]:
    required = Requirement(_HASH.split(line)[0].strip())
    exact = [each.version for each in required.specifier if each.operator == "=="]
    hashes = sorted(_HASH.findall(line))
    if len(exact) != 1 or not hashes:
        raise ReleaseError(f"{place.name}: {required} has no exact version or no hash; run ./taskw requirements")
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', required.name).lower()}@{exact[0]}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl + (f"#{required.marker}" if required.marker else ""),
        "name": required.name,
        "version": exact[0],
        "purl": purl,
        # One of these is installed: there is a file for each processor and version of Python.
        "externalReferences": [
            {
                "type": "distribution",
                "url": purl,
                "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
            }
        ],
    }
    if required.marker:
        component["properties"] = [{"name": "moorage:environment-marker", "value": str(required.marker)}]
    return component
