"""A release from a checkout to a registry and back: packaged, verified, pushed, pulled by digest."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from tests.charts.rendering import EVICTOR, PINNER, PLANNER, render
from tests.containers import unable
from tools.charts.release import DIGEST
from tools.release import __main__ as tool
from tools.release import archives, images, packages, push, signing, versions
from tools.release.errors import ReleaseError
from tools.release.registry import Registry
from tools.release.verify import Release, verify
from tools.toolchain import ensure, guard

KEY = ec.generate_private_key(ec.SECP256R1())
UMBRELLA = "moorage"


class Running:
    """A registry on loopback, with its content in memory."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "registry.log"
        self.port = 0
        self.start()

    @property
    def place(self) -> Registry:
        return Registry(f"127.0.0.1:{self.port}/acme", plain_http=True)

    def start(self) -> None:
        command = [str(ensure(["crane"])["crane"]), "registry", "serve", "--address", f"127.0.0.1:{self.port}"]
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:
            self._process = guard.spawn(command, cwd=self._log.parent, env=os.environ, stdout=log.fileno())
        while not (said := re.search(r"serving on (?:port )?\S*?(\d+)$", self._log.read_text(), re.MULTILINE)):
            assert self._process.poll() is None, self._log.read_text()
            threading.Event().wait(0.05)
        self.port = int(said.group(1))

    def stop(self) -> None:
        guard.end(self._process)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("registry"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def release(registry: Running, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A signed release whose charts name the registry's image."""
    if shutil.which("git") is None or not (versions.ROOT / ".git").exists():
        unable("a release is made of the tracked files of a git checkout")
    place = tmp_path_factory.mktemp("release")
    folder = packages.make(wanted(registry, archive(place / "image.tar", {"a": "1"})), place / "made")
    return verify(folder, KEY.public_key())


def wanted(registry: Running, image: Path) -> packages.Wanted:
    return packages.Wanted(f"{registry.place.name}/moorage", image=image, key=KEY, changed=True)


def archive(path: Path, *contents: Mapping[str, str]) -> Path:
    """An OCI archive of an image; of an index of images if there are several contents."""
    blobs: dict[str, bytes] = {}

    def add(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    manifests = []
    for files in contents:
        layer = tarred({name: text.encode() for name, text in files.items()})
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": add("config.v1+json", json.dumps(config).encode()),
            "layers": [add("layer.v1.tar", layer)],
        }
        manifests.append(add("manifest.v1+json", json.dumps(manifest).encode()))
    index: dict[str, Any] = {"schemaVersion": 2, "manifests": manifests}
    if len(manifests) > 1:
        kind = {"mediaType": "application/vnd.oci.image.index.v1+json"}
        index["manifests"] = [add("index.v1+json", json.dumps(index | kind).encode())]
    path.write_bytes(
        tarred({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()} | blobs)
    )
    return path


def tarred(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as packed:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            packed.addfile(entry, io.BytesIO(body))
    return content.getvalue()


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_runs_give_the_same_files(release: Release, registry: Running, tmp_path: Path) -> None:
    again = packages.make(wanted(registry, archive(tmp_path / "image.tar", {"a": "1"})), tmp_path / "made")
    assert archives.read_sums(again) == archives.read_sums(release.folder)
    kinds = [f"moorage-{release.version}", f"pulumi_moorage-{release.version}"]
    assert {f"{kind}{end}" for kind in kinds for end in (".tar.gz", "-py3-none-any.whl")} <= set(
        archives.read_sums(again)
    )
    with tarfile.open(again / f"moorage-terraform-{release.version}.tar.gz") as packed:
        (main,) = [name for name in packed.getnames() if name.endswith("/terraform/modules/planner/main.tf")]
        assert main.replace("terraform/modules/planner/main.tf", f"charts/{PLANNER}/Chart.yaml") in packed.getnames()


def test_the_usual_programs_verify_a_release(release: Release, tmp_path: Path) -> None:
    said = run("sha256sum", "--check", "--strict", archives.SUMS, cwd=release.folder)
    assert said.count(": OK") == len(archives.read_sums(release.folder))
    binary = tmp_path / "signature"
    binary.write_bytes(base64.b64decode((release.folder / packages.SIGNATURE).read_text()))
    command = ("openssl", "dgst", "-sha256", "-verify", packages.PUBLIC_KEY, "-signature", str(binary), archives.SUMS)
    assert "Verified OK" in run(*command, cwd=release.folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{PINNER}-{versions.current()}.tgz", "is not the file that was packaged"),
        (archives.SUMS, "is not signed by this key, or was changed"),
        (packages.STATEMENT, "holds another statement than provenance.json"),
        (packages.ENVELOPE, "is no signed envelope"),
    ],
)
def test_a_changed_file_is_found(name: str, words: str, release: Release, tmp_path: Path) -> None:
    folder = shutil.copytree(release.folder, tmp_path / "copy")
    (folder / name).write_bytes((folder / name).read_bytes() + b" x")
    with pytest.raises(ReleaseError, match=re.escape(words)):
        verify(folder, KEY.public_key())
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=r"missing|cannot be read"):
        verify(folder, KEY.public_key())


def test_another_key_verifies_nothing(release: Release) -> None:
    with pytest.raises(ReleaseError, match="not signed by this key"):
        verify(release.folder, ec.generate_private_key(ec.SECP256R1()).public_key())


def test_nothing_is_pushed_in_a_dry_run_and_everything_once(
    release: Release, registry: Running, tmp_path: Path
) -> None:
    place = registry.place
    dry = push.push(release, place, dry_run=True)
    assert {each.done for each in dry} == {"would be pushed"}
    assert all(place.digest(each.reference) is None for each in dry)
    assert not (release.folder / push.RECORD).exists()

    first = push.push(release, place)
    assert [each.done for each in first] == ["pushed"] * 5
    assert first[0] == push.Pushed(release.name, release.image.digest, "pushed")
    recorded = json.loads((release.folder / push.RECORD).read_text())
    assert [each["digest"] for each in recorded["artifacts"]] == [each.digest for each in first]

    again = push.push(release, place)
    assert [each.done for each in again] == ["there already"] * 5
    assert [each.digest for each in again] == [each.digest for each in first]
    verify(release.folder, KEY.public_key())  # the record of the push is no file of the release

    helm = str(ensure(["helm"])["helm"])
    for archive_, pushed in zip(release.charts, first[1:], strict=True):
        reference = f"oci://{pushed.reference.rpartition(':')[0]}@{pushed.digest}"
        folder = tmp_path / archive_.name
        folder.mkdir()
        run(helm, "pull", reference, "--plain-http", "--destination", str(folder), cwd=tmp_path)
        (pulled,) = folder.glob("*.tgz")
        assert archives.digest(pulled) == archives.read_sums(release.folder)[archive_.name]
    text = run(helm, "template", "x", reference, "--plain-http", cwd=tmp_path)
    images_ = [each["image"] for each in containers(yaml.safe_load_all(text))]
    assert images_ == [f"{release.name}@{release.image.digest}"]

    other = packages.make(wanted(registry, archive(tmp_path / "other.tar", {"a": "2"})), tmp_path / "other")
    before = [each.digest for each in push.push(release, place)]
    with pytest.raises(ReleaseError, match=r"moorage:\S+ is there with other content: .*nothing has been pushed"):
        push.push(verify(other), place)
    assert [each.digest for each in push.push(release, place)] == before


def containers(objects: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for each in objects:
        if each and each["kind"] == "Deployment":
            yield from each["spec"]["template"]["spec"]["containers"]


def test_a_chart_of_the_same_version_and_other_content_stops_the_push_before_anything_is_written(
    release: Release, registry: Running, tmp_path: Path
) -> None:
    registry.stop()
    registry.start()  # empty
    folder = shutil.copytree(release.folder, tmp_path / "copy")
    stranger = folder / release.charts[-1].name
    archives.pack(charted(tmp_path / "chart", release.version), stranger, PLANNER, 0)
    registry.place.push_chart(stranger, f"{registry.place.name}/charts", 0)
    with pytest.raises(ReleaseError, match=rf"charts/{PLANNER}:\S+ is there with other content"):
        push.push(release, registry.place)
    assert registry.place.digest(release.name) is None


def charted(folder: Path, version: str) -> Path:
    folder.mkdir()
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: {PLANNER}\nversion: {version}\n")
    return folder


def test_a_registry_that_goes_away_is_named_and_the_next_push_goes_on(release: Release, registry: Running) -> None:
    registry.stop()
    registry.start()
    with pytest.raises(ReleaseError, match=r"does not answer: .*connection refused.*is skipped"):
        push.push(release, registry.place, lambda _: registry.stop())
    registry.start()
    with pytest.raises(ReleaseError, match=r"has no TLS\. Push to it with --plain-http"):
        push.push(release, Registry(registry.place.name))
    assert all(each.digest for each in push.push(release, registry.place))


def test_credentials_that_are_refused_are_named(release: Release) -> None:
    with refusing() as port:
        name = f"127.0.0.1:{port}/acme"
        theirs = Release(
            release.folder, release.version, release.epoch, f"{name}/moorage:{release.version}", release.image, ()
        )
        with pytest.raises(ReleaseError, match=r"refuses: .*crane auth login 127\.0\.0\.1"):
            push.push(theirs, Registry(name, plain_http=True))


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    """A registry that takes nobody's password."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_images_of_several_processors_keep_the_digest_of_their_index(registry: Running, tmp_path: Path) -> None:
    image = images.read(archive(tmp_path / "image.tar", {"a": "amd64"}, {"a": "arm64"}))
    assert image.several
    reference = f"{registry.place.name}/several:1"
    registry.place.push_layout(images.unpack(image, tmp_path / "layout"), reference, image.several)
    assert registry.place.digest(reference) == image.digest
    manifest = registry.place.manifest(reference)
    assert manifest is not None
    assert len(manifest["manifests"]) == 2


def test_charts_of_a_release_name_the_digest_until_values_name_another_image(release: Release) -> None:
    charts = {each.name.removesuffix(f"-{release.version}.tgz"): each for each in release.charts}
    assert set(charts) == {PINNER, EVICTOR, PLANNER, UMBRELLA}
    ours = f"{release.name}@{release.image.digest}"
    repository = release.name.rpartition(":")[0]
    other = "sha256:" + "1" * 64
    for name in (EVICTOR, PLANNER):
        assert render(charts[name]).container["image"] == ours
    for values, expected in [
        ({}, ours),
        ({"image": {"tag": "v1.4.2"}}, ours),  # the closed product's
        ({"image": {"repository": "us-docker.pkg.dev/castai-hub/library/pod-pinner", "tag": "v1"}}, ours),
        ({"global": {"registry": "mirror.example"}}, ours.replace(f"{registry_host(ours)}/", "mirror.example/")),
        ({"image": {"tag": "2.0.1"}}, f"{repository}:2.0.1"),
        ({"image": {"repository": "example.com/own"}}, f"example.com/own:{release.version}"),
        ({"image": {"digest": other}}, f"{release.name}@{other}"),
    ]:
        assert render(charts[PINNER], values).container["image"] == expected, values
    with tarfile.open(charts[UMBRELLA]) as opened:
        texts = [opened.extractfile(each) for each in opened if each.name.endswith("Chart.yaml")]
        for chart in [yaml.safe_load(each.read()) for each in texts if each]:
            notes = chart["annotations"]
            assert notes[DIGEST] == release.image.digest
            assert yaml.safe_load(notes["artifacthub.io/images"]) == [{"name": "moorage", "image": ours}]
            assert {each["kind"] for each in yaml.safe_load(notes["artifacthub.io/changes"])} <= KINDS
            assert notes["artifacthub.io/prerelease"] == str("-" in release.version).lower()


KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}


def registry_host(image: str) -> str:
    return image.partition("/")[0]


def test_what_stops_a_release_before_it_begins(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tool.KEY_VARIABLE, raising=False)
    monkeypatch.delenv(tool.IMAGE_VARIABLE, raising=False)
    weak = tmp_path / "weak.pem"
    weak.write_text(signing.public_text(KEY))
    target = ["--folder", str(tmp_path / "made")]
    for arguments, words in [
        (["package", *target], "--image-repository"),
        (["package", "--image-repository", "a.b/c:1", *target], "write it without a tag"),
        (["package", "--image-repository", "a.b/c", "--dirty", "--image", str(weak), *target], "is not an OCI archive"),
        (["package", "--image-repository", "a.b/c", "--dirty", "--key", str(weak), *target], "cannot be read"),
        (["verify", *target], "SHA256SUMS cannot be read"),
        (["push", "https://a.b", "--unreleased", "--folder", str(release.folder)], "is no registry"),
        (["push", "a.b/c", "--unreleased", "--folder", str(release.folder)], "Package them for this registry"),
    ]:
        assert tool.main(arguments) == 1, arguments
        assert words in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
