"""What tests with real containers need of the machine they run on."""

from __future__ import annotations

import os

import pytest


def require(purpose: str) -> None:
    """Skips the test, with the reason, where real containers cannot run; in CI that is a failure.

    Args:
        purpose: "cluster" for real nodes, "image" for building images.
    """
    from tools.localcluster import host

    reason = host.missing(purpose)
    if reason is not None and os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {reason}", pytrace=False)
    if reason is not None:
        pytest.skip(reason)
