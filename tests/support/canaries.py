"""Descriptors that take every number that becomes free, so that a second close is noticed."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

MOST = 64


class Canaries:
    """A context manager; when it is left, none of them may have been closed by anybody."""

    def __init__(self) -> None:
        self._numbers: dict[int, os.stat_result] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.check()

    def sing(self) -> None:
        """Take the numbers that are free below the highest one that is in use."""
        highest = max(map(int, os.listdir("/proc/self/fd")))
        for _ in range(MOST):
            number = self.take()
            if number > highest:
                del self._numbers[number]
                os.close(number)
                break

    def take(self) -> int:
        """Take the lowest number that is free."""
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        assert number not in self._numbers, f"somebody has closed descriptor {number}"
        self._numbers[number] = os.fstat(number)
        return number

    def check(self) -> None:
        """See that all are alive, and let them go."""
        numbers, self._numbers = self._numbers, {}
        for number, was in numbers.items():
            try:
                now = os.fstat(number)
            except OSError:
                raise AssertionError(f"somebody has closed descriptor {number}") from None
            assert (now.st_dev, now.st_ino) == (was.st_dev, was.st_ino), number
            os.close(number)

    async def settle(self) -> None:
        """Sing in each of some turns of the loop, then check."""
        for _ in range(10):
            self.sing()
            await asyncio.sleep(0)
        self.check()
