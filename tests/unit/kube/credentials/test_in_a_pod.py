"""The service account of a pod, and proxies of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.kube.credentials import CredentialsError, incluster, load
from moorage.kube.credentials.proxies import from_environment
from tests.unit.kube.credentials.support import SECRET, Pki, Write, authorization


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pki: Pki) -> Path:
    directory = tmp_path / "serviceaccount"
    # As the kubelet lays it out: the names are links into a directory that is swapped.
    for generation in ("1", "2"):
        (directory / generation).mkdir(parents=True)
        (directory / generation / "token").write_text(f"token-{generation}\n")
    (directory / "..data").symlink_to("1")
    (directory / "token").symlink_to("..data/token")
    (directory / "ca.crt").write_bytes(pki.ca)
    (directory / "namespace").write_text("castai-agent")
    monkeypatch.setattr(incluster, "SERVICE_ACCOUNT", directory)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return directory


async def test_in_a_pod(pod: Path) -> None:
    access = load()
    assert (access.server, access.namespace, access.source) == ("https://[fd00::1]:443", "castai-agent", "in-cluster")
    assert await authorization(access) == "Bearer token-1"
    (pod / "..new").symlink_to("2")
    (pod / "..new").rename(pod / "..data")
    assert await access.authenticator.refused()
    assert await authorization(access) == "Bearer token-2"


def test_a_named_kubeconfig_or_context_wins_over_the_pod(
    pod: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write({"token": "t"})
    assert load(path).server == "https://10.1.2.3:6443"
    with pytest.raises(CredentialsError, match="no kubeconfig"):
        load(context="lab")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert load().server == "https://10.1.2.3:6443"


def test_a_broken_pod_is_explained(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod / "ca.crt").unlink()
    with pytest.raises(CredentialsError, match=r"in-cluster: CA: cannot read .*ca\.crt: No such file"):
        load()
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(CredentialsError, match="KUBERNETES_SERVICE_PORT do not name an API server"):
        load()


# --- proxies of the environment ---


@pytest.mark.parametrize(
    ("server", "no_proxy", "expected"),
    [
        ("https://h:6443", "", "http://proxy:3128"),
        ("https://127.0.0.1:6443", "", None),
        ("https://[::1]:6443", "", None),
        ("https://localhost:6443", "", None),
        ("https://10.1.2.3", "10.0.0.0/8", None),
        ("https://10.1.2.3", "11.0.0.0/8, 10.1.2.3", None),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", None),
        ("https://10.1.2.3:6443", "10.1.2.3:7443", "http://proxy:3128"),
        ("https://[fd00::1]", "fd00::/8", None),
        ("https://api.example.com", "example.com", None),
        ("https://example.com", ".example.com", "http://proxy:3128"),
        ("https://api.example.com", "*.example.com", None),
        ("https://notexample.com", "example.com", "http://proxy:3128"),
        ("https://h", "*", None),
        ("http://h", "", None),
    ],
)
def test_proxy_of_the_environment(server: str, no_proxy: str, expected: str | None) -> None:
    found = from_environment(server, {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": no_proxy})
    assert (found and found.url) == expected


def test_unusable_proxy_of_the_environment() -> None:
    with pytest.raises(CredentialsError, match="variable https_proxy: proxy ftp://… cannot be used") as caught:
        from_environment("https://h", {"https_proxy": f"ftp://u:{SECRET}@h"})
    assert SECRET not in str(caught.value)
