"""Fixtures of what is installed with Terraform."""

from __future__ import annotations

import pytest

from tests.containers import unable
from tests.terraform.terraform import Terraform, unavailable


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform without any cluster."""
    if (reason := unavailable()) is not None:
        unable(reason)
    return Terraform(tmp_path_factory.mktemp("terraform"))
