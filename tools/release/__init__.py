"""Releases: one version in every place, archives that anyone can make again, and what is pushed to a registry."""
