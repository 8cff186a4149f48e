"""Chance that costs nothing until something is drawn.

To seed a generator takes longer than to read most answers of name servers, and few of them leave
anything to chance.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence, Sequence

__all__ = ["Draws"]

T = TypeVar("T")


class Draws:
    """What `random.Random` draws from a seed.

    Args:
        seed: gives it, when the first is drawn.
    """

    def __init__(self, seed: Callable[[], int]) -> None:
        self._seed = seed
        self._random: Random | None = None

    def restart(self, seed: Callable[[], int]) -> None:
        """Have the next be the first of another seed."""
        self._seed = seed
        self._random = None

    def shuffle(self, items: MutableSequence[T]) -> None:
        if len(items) > 1:
            self._drawing().shuffle(items)

    def choice(self, items: Sequence[T]) -> T:
        return items[0] if len(items) == 1 else self._drawing().choice(items)

    def randint(self, least: int, most: int) -> int:
        return least if least == most else self._drawing().randint(least, most)

    def _drawing(self) -> Random:
        if self._random is None:
            self._random = Random(self._seed())
        return self._random
