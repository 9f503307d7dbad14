"""Keeps the pinning protocol compatible: nothing in v1 is removed or changed.

``breaking`` compares two versions (no I/O), ``baseline`` is the declared version, and ``__main__`` has the commands.
"""
