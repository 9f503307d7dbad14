"""Promised nodes: their manifest, what is left on them, and the pods that are expected there."""
