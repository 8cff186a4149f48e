"""How long to wait before the next try.

Rules:

* The delay before try n + 1 is ``first * factor**n`` seconds, and never more than ``most``; jitter
  moves each by itself, so that clients that lost the same server do not come back together.
* A delay counts from the *start* of a try: one that fails slowly is followed by a shorter wait.
* Nothing is drawn here but from the random numbers that are handed in.

Source: gRPC's connection backoff protocol, whose constants are the defaults.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from .value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Backoff", "Random"]


class Random(Protocol):
    """What draws the jitter, such as the module `random` or a `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between the two."""


class Backoff(Value):
    """Delays that grow from try to try, with random jitter.

    The defaults are those of gRPC, for a service that may be gone for long and has many clients.
    `quick` is for waiting while something starts.

    Args:
        first: seconds from the start of the first try to that of the second; more than 0.
        factor: how many times as long each delay is as the one before; at least 1.
        most: seconds that no delay exceeds before jitter; at least ``first``.
        jitter: the part of a delay that is added or taken away at random; from 0 to 1.
        least_timeout: seconds that a try has at least, however short the delay is; more than 0.

    Raises:
        TypeError: an argument is not a number.
        ValueError: an argument has an invalid value.

    Immutable, and usable from several loops and threads at once.
    """

    first: float = 1.0
    factor: float = 1.6
    most: float = 120.0
    jitter: float = 0.2
    least_timeout: float = 20.0

    def __post_init__(self) -> None:
        for name in self.__match_args__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, not {value!r}")
        for name in ("first", "least_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {getattr(self, name)}")
        if self.factor < 1:
            raise ValueError(f"factor must be 1 or more, not {self.factor}")
        if self.most < self.first:
            raise ValueError(f"most must be at least first, {self.first}, not {self.most}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {self.jitter}")

    @classmethod
    def quick(cls) -> Backoff:
        """From a tenth of a second to two: for what is about to start, with few who wait."""
        return cls(first=0.1, most=2.0)

    def delays(self, random: Random) -> Iterator[float]:
        """The delays, one after the other, without end.

        Args:
            random: draws the jitter.

        Returns:
            Seconds from the start of a try to the start of the next; of try n, counted from 0,
            between ``1 - jitter`` and ``1 + jitter`` times ``min(first * factor**n, most)``.
        """
        delay = self.first
        while True:
            yield delay * random.uniform(1 - self.jitter, 1 + self.jitter)
            delay = min(delay * self.factor, self.most)
