"""Requirements of tests other than Python: root, containers, Debian packages."""

from __future__ import annotations

import os

import pytest


def require(purpose: str) -> None:
    """Skips the test, with the reason, if real containers cannot run. In CI that is a failure.

    Args:
        purpose: "cluster" for real nodes, "image" for building images.
    """
    import tools.image
    from tools.localcluster import host

    reason = tools.image.missing() if purpose == "image" else host.missing(purpose)
    if reason is not None:
        unable(reason)


def unable(reason: str) -> None:
    """Skips the test because of this machine; in CI, which must be able to run everything, it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must be able to run this: {reason}", pytrace=False)
    pytest.skip(reason)
