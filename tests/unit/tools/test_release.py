"""Releases without a registry: one version in every place, what is new, bills of materials, provenance."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from tests.containers import unable
from tools.image import bill as image_bill
from tools.release import archives, bill, provenance, signing, source, versions
from tools.release.changes import changes
from tools.release.errors import ReleaseError

SCHEMAS = Path(__file__).with_name("cyclonedx")
"""Of https://github.com/CycloneDX/specification (Apache-2.0), without white space."""

PLACES = [
    "runtime/pyproject.toml",
    "pulumi/pyproject.toml",
    "runtime/Dockerfile",
    "CHANGELOG.md",
    "docs/guides/image.md",
]
PLACES += [f"charts/{path.parent.name}/Chart.yaml" for path in (versions.ROOT / "charts").glob("*/Chart.yaml")]
NEXT = "9.8.7"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that hold the version, before its release."""
    for name in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(versions.ROOT / name, tmp_path / name)
    return tmp_path


def head(root: Path) -> list[str]:
    return re.findall(r"^## .*$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)


def released(root: Path, date: str = "2030-01-02") -> None:
    """Date the newest section."""
    text = (root / "CHANGELOG.md").read_text()
    (root / "CHANGELOG.md").write_text(text.replace("(unreleased)", f"({date})", 1))


def test_this_checkout_has_one_version() -> None:
    assert re.fullmatch(versions.VERSION, versions.current())


def test_a_version_is_set_everywhere_at_once(checkout: Path) -> None:
    before = versions.current(checkout)
    assert set(versions.write(NEXT, root=checkout)) == set(PLACES)
    assert versions.current(checkout) == NEXT
    left = [name for name in PLACES if name != "CHANGELOG.md" and before in (checkout / name).read_text()]
    assert left == []
    assert versions.write(NEXT, root=checkout) == []
    versions.write(before, root=checkout)
    assert all((checkout / name).read_text() == (versions.ROOT / name).read_text() for name in PLACES)


@pytest.mark.parametrize("name", [each for each in PLACES if each.endswith(("toml", "Dockerfile", "Chart.yaml"))])
def test_every_place_that_differs_is_named(name: str, checkout: Path) -> None:
    before = versions.current(checkout)
    path = checkout / name
    path.write_text(path.read_text().replace(before, NEXT))
    with pytest.raises(ReleaseError, match=r"release:version -- ") as caught:
        versions.current(checkout)
    assert name in str(caught.value)


def test_a_file_without_its_version_is_named(checkout: Path) -> None:
    (checkout / "pulumi/pyproject.toml").write_text("[project]\n")
    with pytest.raises(ReleaseError, match=r"pulumi/pyproject\.toml has no version"):
        versions.current(checkout)


def test_the_changelog_follows(checkout: Path) -> None:
    first = versions.current(checkout)
    versions.write(NEXT, root=checkout)
    assert head(checkout)[0] == f"## {NEXT} (unreleased)", "what is not released gets another number"
    versions.write(f"{NEXT}-rc.1", root=checkout)
    assert head(checkout)[0] == f"## {NEXT} (unreleased)", "versions before the final one share its section"
    assert versions.current(checkout) == f"{NEXT}-rc.1"
    versions.write(NEXT, "2030-01-02", checkout)
    assert versions.newest(checkout) == versions.Heading(NEXT, "2030-01-02")
    with pytest.raises(ReleaseError, match="was released on 2030-01-02"):
        versions.write(NEXT, "2030-01-03", checkout)
    versions.write("9.9.0", root=checkout)
    assert head(checkout)[:2] == ["## 9.9.0 (unreleased)", f"## {NEXT} (2030-01-02)"]
    assert first not in "".join(head(checkout)[:2])


@pytest.mark.parametrize(
    "wrong", ["v7.0.0", "7.0", "7.0.0.1", "07.0.0", "7.0.0-", "7.0.0-x", "7.0.0+build", "latest", "7.0.0\n"]
)
def test_what_is_no_version_changes_nothing(wrong: str, checkout: Path) -> None:
    with pytest.raises(ReleaseError, match="write it like"):
        versions.write(wrong, root=checkout)
    with pytest.raises(ReleaseError, match="is no date"):
        versions.write(NEXT, "tomorrow", checkout)
    assert all((checkout / name).read_text() == (versions.ROOT / name).read_text() for name in PLACES)


def test_changes_are_sentences_without_marks(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(
        "# C\n\n## 1.1.0 (unreleased)\n### Added\n- `a` does b ([guide](x.md)). More.\n- [c](y.md): for 1.5 d,\n  e.\n"
        "\n#### A group\n- g: h.\n\n#### Another\n- i\n"
        "### Security\n- f\n\n## 1.0.0 (2020-01-01)\n### Added\n- old\n"
    )
    assert changes(tmp_path) == [
        {"kind": "added", "description": "a does b."},
        {"kind": "added", "description": "c: for 1.5 d, e."},
        {"kind": "added", "description": "g: h."},
        {"kind": "added", "description": "i"},
        {"kind": "security", "description": "f"},
    ]
    assert all(each["description"] and "](" not in each["description"] for each in changes())


def test_the_bill_is_cyclonedx_and_has_every_hash_once(tmp_path: Path) -> None:
    wheel = tmp_path / "moorage.whl"
    wheel.write_bytes(b"wheel")
    locks = versions.ROOT / "requirements" / "image.txt"
    text = bill.bill(locks, wheel, "7.0.0")
    assert text == bill.bill(locks, wheel, "7.0.0")
    made = json.loads(text)
    valid(made)
    assert made["metadata"]["component"]["hashes"][0]["content"] == archives.digest(wheel)
    hashes = [each["content"] for part in made["components"] for each in part["externalReferences"][0]["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"--hash=sha256:(\w+)", locks.read_text()))
    assert len(made["components"]) == len(re.findall(r"^\w", locks.read_text(), re.MULTILINE))
    made["components"][0]["hash"] = []  # and the schema refuses something
    with pytest.raises(AssertionError):
        valid(made)


def test_the_images_bill_is_cyclonedx(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    stanza = "Package: libc6\nVersion: 1:2.41-12\nArchitecture: amd64\n"
    (tmp_path / "var/lib/dpkg/status").write_text(stanza)
    made = json.loads(image_bill.bill([Path(pytest.__file__).parents[1]], tmp_path))
    valid(made)
    assert made["components"][-1]["purl"] == "pkg:deb/debian/libc6@1%3A2.41-12?arch=amd64"


def valid(document: Any) -> None:
    """By the official schema."""
    found = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    store: Registry[Any] = Registry().with_resources(
        (each["$id"], Resource.from_contents(each)) for each in found.values()
    )
    errors = list(Draft7Validator(found["bom-1.5.schema.json"], registry=store).iter_errors(document))
    assert not errors, errors[0]


@pytest.mark.parametrize("line", ["a==1.0", "a>=1.0 --hash=sha256:" + "0" * 64])
def test_a_requirement_that_locks_nothing_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(line + "\n")
    with pytest.raises(ReleaseError, match=r"r\.txt: a\S+ has no exact version or no hash"):
        bill.locked(tmp_path / "r.txt")


def test_provenance_names_every_file_the_commit_and_the_locks(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"a")
    commit = source.Source("c" * 40, 7, ("x",))
    image = {"r/moorage:1": "sha256:" + "1" * 64}
    made = provenance.statement([tmp_path / "a.whl"], image, "1.0.0", commit, versions.ROOT)
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"] == [
        {"name": "a.whl", "digest": {"sha256": archives.digest(tmp_path / "a.whl")}},
        {"name": "r/moorage:1", "digest": {"sha256": "1" * 64}},
    ]
    definition = made["predicate"]["buildDefinition"]
    assert definition["internalParameters"] == {"sourceDateEpoch": 7, "changedFiles": ["x"]}
    materials = definition["resolvedDependencies"]
    assert materials[0]["digest"] == {"gitCommit": "c" * 40}
    locks = {each["name"]: each["digest"]["sha256"] for each in materials if "name" in each}
    assert locks["image.txt"] == archives.digest(versions.ROOT / "requirements" / "image.txt")
    assert any(each["uri"].startswith("pkg:pypi/aiohttp@") for each in materials)


def test_only_tracked_files_are_copied_and_links_become_folders(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        unable("a release asks git for the tracked files")
    root, target = tmp_path / "root", tmp_path / "target"
    (root / "charts/a").mkdir(parents=True)
    (root / "charts/b/charts").mkdir(parents=True)
    (root / "charts/a/Chart.yaml").write_text("a")
    (root / "charts/b/charts/a").symlink_to("../../a")
    target.mkdir()
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=root, check=True)
    (root / "charts/a/left.pyc").write_text("x")
    source.copy(["charts/b"], target, root)
    assert (target / "charts/b/charts/a/Chart.yaml").read_text() == "a"
    assert not list(target.rglob("left.pyc"))
    with pytest.raises(ReleaseError, match="make a release from a git checkout"):
        source.read(root)  # it has no commit
    with pytest.raises(ReleaseError, match="make a release from a git checkout"):
        source.read(Path("/"))


def test_keys_of_another_kind_or_with_a_password_are_named(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"

    def write(key: Any, password: bytes | None = None) -> None:
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))

    for key in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        write(key)
        with pytest.raises(ReleaseError, match="is not ECDSA on P-256; make one"):
            signing.private_key(path, None)
    write(ec.generate_private_key(ec.SECP256R1()), b"secret")
    for password in (None, "wrong"):
        with pytest.raises(ReleaseError, match="MOORAGE_RELEASE_KEY_PASSWORD holds its password"):
            signing.private_key(path, password)
    key = signing.private_key(path, "secret")
    assert signing.opened(key.public_key(), signing.envelope(key, b"{}"), "e") == b"{}"
