"""Statistics of results: how many came to what, and how long they took.

Rules:

* Only a success counts for a latency.  A timeout is told beside them: it says how long somebody
  was patient, and mixed in it would make a slow peer look like a patient client.
* Up to `EXACT` values a percentile is one of them, by nearest rank.  From there on values are
  counted in bins, each 2 % wide: memory is bounded, and a percentile is off by 1 % at the most.
* The sum of two is what one would be that had seen everything, whatever the order.
* What there is none of is None, not 0.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..errors.errors import ConnectError, ResolveError
from ..explanations.explain import lookup

if TYPE_CHECKING:
    from .result import Result

__all__ = ["PERCENTILES", "Latencies", "Statistics"]

EXACT: Final = 10_000
PERCENTILES: Final = (50, 90, 95, 99)

_LEAST: Final = 1e-6
_WIDTH: Final = math.log(1.02)
_BINS: Final = math.ceil(math.log(1e9) / _WIDTH)
"""From a microsecond to a thousand seconds: 1047.  What is beyond is counted in the last."""


class Latencies:
    """Numbers of seconds: their count, least, mean, percentiles and most."""

    __slots__ = ("_bins", "_least", "_most", "_recent", "_total")

    def __init__(self) -> None:
        self._recent: list[float] = []
        self._bins: Counter[int] = Counter()
        self._total = 0  # nanoseconds, so that sums do not depend on the order
        self._least = math.inf
        self._most = -math.inf

    def add(self, seconds: float) -> None:
        """Add one more."""
        self._recent.append(seconds)
        if len(self._recent) > EXACT:
            self._fold()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._recent) + self._bins.total()

    @property
    def least(self) -> float | None:
        """The shortest."""
        return min([self._least, *self._recent]) if self.count else None

    @property
    def most(self) -> float | None:
        """The longest."""
        return max([self._most, *self._recent]) if self.count else None

    @property
    def mean(self) -> float | None:
        """The mean, to a nanosecond."""
        if not self.count:
            return None
        return (self._total + sum(map(_nanoseconds, self._recent))) / self.count / 1e9

    def percentile(self, percent: float) -> float | None:
        """What ``percent`` of them do not exceed; None if there are none.

        Raises:
            ValueError: ``percent`` is not from 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be from 0 to 100, not {percent!r}")
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        if not self._bins:
            return sorted(self._recent)[rank - 1]
        self._fold()
        numbers = sorted(self._bins)
        upto = list(accumulate(map(self._bins.__getitem__, numbers)))
        middle = _LEAST * math.exp((numbers[bisect_left(upto, rank)] - 0.5) * _WIDTH)
        return min(max(middle, self._least), self._most)

    def __add__(self, other: Latencies) -> Latencies:
        both = Latencies()
        both._recent = self._recent + other._recent
        both._bins = self._bins + other._bins
        both._total = self._total + other._total
        both._least = min(self._least, other._least)
        both._most = max(self._most, other._most)
        if len(both._recent) > EXACT:
            both._fold()
        return both

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Latencies) and self._state() == other._state()

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it changes

    def _state(self) -> tuple[Any, ...]:
        if self._bins:
            self._fold()
        return sorted(self._recent), self._bins, self._total, self._least, self._most

    def _fold(self) -> None:
        """Count what has been added since in bins."""
        if self._recent:
            self._least = min([self._least, *self._recent])
            self._most = max([self._most, *self._recent])
            self._total += sum(map(_nanoseconds, self._recent))
            self._bins.update(map(_bin, self._recent))
            self._recent.clear()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, in seconds."""
        return {
            "count": self.count,
            "least": self.least,
            "mean": self.mean,
            "percentiles": {str(each): self.percentile(each) for each in PERCENTILES},
            "most": self.most,
        }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _bin(seconds: float) -> int:
    """The bin: number n has what is above ``_LEAST * 1.02**(n - 1)``, up to 2 % more."""
    if seconds <= _LEAST:
        return 0
    return min(math.ceil(math.log(seconds / _LEAST) / _WIDTH), _BINS - 1)


class Statistics:
    """Statistics of any number of results, in bounded memory; two can be added up.

    It can be pickled, and equals another that has seen the same results in another order.  To be
    used from one thread at a time.

    Attributes:
        outcomes: how many results came to each outcome.
        errors: how many failed for each reason, by the name of the errno.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self._latencies: dict[str, Latencies] = {"all": Latencies()}
        self._first = math.inf
        self._last = -math.inf

    def add(self, result: Result) -> None:
        """Add a result."""
        self.outcomes[result.outcome] += 1
        begun, seconds = result.time, result.seconds
        if begun < self._first:
            self._first = begun
        if begun + seconds > self._last:
            self._last = begun + seconds
        if result.outcome == "connected":
            latencies = self._latencies
            latencies["all"].add(seconds)
            for phase, lasted in result.phases.items():
                if phase not in latencies:
                    latencies[phase] = Latencies()
                latencies[phase].add(lasted)
        elif isinstance(result.error, ConnectError):
            resolving = isinstance(result.error, ResolveError)
            self.errors[lookup(result.error.errno or 0, resolving=resolving).name] += 1

    @property
    def count(self) -> int:
        """How many results there were."""
        return self.outcomes.total()

    @property
    def rate(self) -> float | None:
        """Results per second, from the start of the first to the end of the last; None if no time
        has passed."""
        lasted = self._last - self._first
        return self.count / lasted if 0 < lasted < math.inf else None

    def latencies(self, phase: str = "all") -> Latencies:
        """The times of the connections: in all, or of "resolve", "connect" or "handshake"."""
        return self._latencies.get(phase) or Latencies()

    def percentile(self, phase: str, percent: float) -> float | None:
        """Seconds that ``percent`` of the connections did not exceed; None if there were none.

        Args:
            phase: "all", "resolve", "connect" or "handshake".
            percent: from 0 to 100.
        """
        return self.latencies(phase).percentile(percent)

    def __add__(self, other: Statistics) -> Statistics:
        if not isinstance(other, Statistics):
            return NotImplemented
        both = Statistics()
        both.outcomes = self.outcomes + other.outcomes
        both.errors = self.errors + other.errors
        for phase in self._latencies.keys() | other._latencies.keys():
            both._latencies[phase] = self.latencies(phase) + other.latencies(phase)
        both._first = min(self._first, other._first)
        both._last = max(self._last, other._last)
        return both

    def __radd__(self, other: object) -> Statistics:
        return self + Statistics() if other == 0 else NotImplemented  # for sum()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and vars(self) == vars(other)

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it changes

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for `json.dumps`.

        Returns:
            ``count``, ``rate``, ``outcomes``, ``errors``, and ``seconds``: for "all" and for each
            phase that there was, ``count``, ``least``, ``mean``, ``percentiles`` and ``most``.
        """
        return {
            "count": self.count,
            "rate": self.rate,
            "outcomes": dict(sorted(self.outcomes.items())),
            "errors": dict(sorted(self.errors.items(), key=itemgetter(0))),
            "seconds": {phase: each.to_dict() for phase, each in sorted(self._latencies.items())},
        }
