"""A secret never shows when it is printed, formatted, compared or stored."""

from __future__ import annotations

import copy
import pickle

import pytest

from moorage.ops.secret import Secret

KEY = "sesame-1234"


def test_it_is_revealed_on_request_only() -> None:
    secret = Secret(f" {KEY}\n")
    assert secret.reveal() == KEY
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>20}",
        "{:s}".format(secret),  # noqa: UP032
        repr([secret]),
        repr({1: secret}),
    ]
    assert not any(KEY in text for text in shown)
    assert not hasattr(secret, "__dict__")


def test_it_is_not_written_anywhere() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(KEY))
    with pytest.raises(TypeError):
        copy.copy(Secret(KEY))


def test_it_compares_by_value() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY), Secret("other")}) == 2
    assert not Secret("\n")
