"""Fixtures of the rights."""

from tests.e2e.helm.conftest import repository

__all__ = ["repository"]
