"""The errors of a release that its user can mend."""

from __future__ import annotations


class ReleaseError(Exception):
    """The release cannot be made or pushed. The message says why, and what to do."""
