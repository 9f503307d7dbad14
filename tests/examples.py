"""The number of generated cases of a property: all, or fewer in a developer's quick run."""

from __future__ import annotations

import os

# `./taskw test:unit` sets it. Who judges a submission is never quick, and new cases come with every run.
_QUICK = os.environ.get("MOORAGE_EXAMPLES") == "quick" and not os.environ.get("CI")


def examples(full: int) -> int:
    """For ``settings(max_examples=…)``: this number, or a fifth of it in a quick run, at least 10."""
    return min(full, max(10, full // 5)) if _QUICK else full
