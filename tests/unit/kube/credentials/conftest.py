"""Fixtures of the tests of credentials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.kube.credentials import incluster
from tests.unit.kube.credentials.support import Pki, Write, new_pki


@pytest.fixture(scope="module")
def pki() -> Pki:
    return new_pki()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("KUBE") or "PROXY" in name.upper():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(incluster, "SERVICE_ACCOUNT", tmp_path / "no-service-account")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a kubeconfig with one context; ``user`` and ``cluster`` are its sections."""

    def _write(
        user: Any = None, cluster: Any = None, *, name: str = "config", context: str = "lab", **more: Any
    ) -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster or {"server": "https://10.1.2.3:6443"}}],
            "users": [{"name": context, "user": user}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
            **more,
        }
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document))
        return path

    return _write
