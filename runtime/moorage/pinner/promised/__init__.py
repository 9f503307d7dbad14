"""Promised nodes: their manifest, and the pods that are expected there."""
