"""Fixtures of the tests of rights."""

from tests.e2e.helm.conftest import repository

__all__ = ["repository"]
