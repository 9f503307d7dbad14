"""The stream's log lines about its connections."""

from __future__ import annotations

import logging

import pytest

from moorage.pinner.stream.client import RESET


def resets(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == RESET]


def causes(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {vars(record)["cause"] for record in resets(caplog)}
