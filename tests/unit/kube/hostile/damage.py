"""Damage to a server's bytes: changed or missing anywhere."""

from __future__ import annotations

from hypothesis import strategies as st


def damaged(data: st.DataObject, whole: bytes) -> bytes:
    """The same bytes with one to six places overwritten or removed, but never empty."""
    found = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(found) - 1))
        if data.draw(st.booleans()):
            found[at] = data.draw(st.integers(0, 255))
        else:
            del found[at : at + data.draw(st.integers(1, 40))]
            found = found or bytearray(b"x")
    return bytes(found)
