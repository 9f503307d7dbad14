"""Every log line of the stream is checked."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="moorage")
