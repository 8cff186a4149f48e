"""Bytes as a series of choices, for targets that need more than a text.

Rules:

* Every series of bytes is a series of choices, and a byte is a choice: a fuzzer that changes one
  byte changes one choice, and a corpus can be written by hand.
* When the bytes are used up, `more` is False and every further choice is the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Reader:
    """Reads choices from bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte, 0 after the last."""
        if not self.more:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, which are 256 at the most."""
        return options[self.byte() % len(options)]

    def taken(self, count: int) -> bytes:
        """The next bytes, fewer if there are fewer."""
        self._at += count
        return self._data[self._at - count : self._at]
