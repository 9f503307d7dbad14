"""Keeps the pinning protocol compatible: what v1 has, v1 keeps.

``breaking`` compares two versions (pure), ``baseline`` is the version that was declared, and ``__main__`` the commands.
"""
