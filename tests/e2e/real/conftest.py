"""Fixtures of tests with real containers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.real.probes import Space, probe_image
from tools.localcluster import ClusterHandle


@pytest.fixture(scope="session")
def probe_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe's image."""
    return probe_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def space(real_cluster: ClusterHandle, probe_archive: Path) -> Iterator[Space]:
    """A namespace that admits restricted pods only, on a cluster whose nodes have the probe's image."""
    real_cluster.load_image(probe_archive)
    name = f"real-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    real_cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    real_cluster.wait_service_account(name)
    yield Space(real_cluster, name)
    real_cluster.api.request("DELETE", f"/api/v1/namespaces/{name}")
