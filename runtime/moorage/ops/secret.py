"""A value that is used and never shown."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a credential. Printing, formatting, logging or pickling it gives ``***`` or an error.

    Args:
        value: the credential. Surrounding white space, such as a file's last newline, is dropped.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.strip()

    def reveal(self) -> str:
        """The credential, for the code that sends it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(Secret)  # equal secrets have equal hashes, and the hash does not reveal the value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: the result would contain it")
