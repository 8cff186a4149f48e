"""What is remembered, for how long, and what goes when there is no room.  Pure.

Rules:

* An entry is fresh until a moment, stale until another, and gone then.
* There are at most so many.  When there is no room, out go those that are gone, and if there are
  none, the one that has not been used for the longest time.
* Everything takes the same time, or that of a few entries, however many there are.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

__all__ = ["NETWORKS", "Entry", "Memory", "Recent"]

NETWORKS: Final = 4
"""How many networks something is remembered of: home, work, a telephone, and what is between."""

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Entry(NamedTuple, Generic[V]):
    """What is remembered under a key.

    Attributes:
        value: what it is.
        fresh_until: the moment up to which it is as good as new.
        stale_until: the moment up to which it is better than nothing; not before the other.
    """

    value: V
    fresh_until: float
    stale_until: float


class Memory(Generic[K, V]):
    """A bounded memory, by the caller's clock: moments are seconds that never go back.

    Args:
        entries: how many there may be; at least 1.

    Raises:
        ValueError: ``entries`` is less than 1.

    Not thread-safe.
    """

    def __init__(self, entries: int) -> None:
        if entries < 1:
            raise ValueError(f"entries must be at least 1, not {entries!r}")
        self._most = entries
        self._entries: OrderedDict[K, Entry[V]] = OrderedDict()  # used last comes last
        self._ends: list[tuple[float, int, K]] = []  # a heap, with ends that are not true any more
        self._number = count()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K, now: float) -> Entry[V] | None:
        """What is remembered under a key, unless it is gone."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.stale_until <= now:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: K, value: V, now: float, fresh_for: float, stale_for: float = 0.0) -> None:
        """Remember a value under a key, in place of another.

        Args:
            fresh_for: seconds for which it is fresh.
            stale_for: seconds for which it is stale then.
        """
        fresh_until = now + fresh_for
        entry = Entry(value, fresh_until, fresh_until + stale_for)
        if key not in self._entries and len(self._entries) >= self._most:
            self._make_room(now)
        self._entries[key] = entry
        self._entries.move_to_end(key)
        heappush(self._ends, (entry.stale_until, next(self._number), key))
        if len(self._ends) > 2 * self._most + 64:  # most of them are not true any more
            self._ends = [
                (each.stale_until, next(self._number), kept)
                for kept, each in self._entries.items()
            ]
            heapify(self._ends)

    def forget(self, key: K) -> None:
        """Remember nothing under a key."""
        self._entries.pop(key, None)

    def forget_all(self, gone: Callable[[K], bool]) -> None:
        """Remember nothing under the keys for which ``gone`` is true; takes a look at all."""
        for key in [key for key in self._entries if gone(key)]:
            del self._entries[key]

    def clear(self) -> None:
        """Remember nothing."""
        self._entries.clear()
        self._ends.clear()

    def _make_room(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            end, _, key = heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry.stale_until == end:
                del self._entries[key]
        if len(self._entries) >= self._most:
            self._entries.popitem(last=False)


class Recent:
    """The networks that have been seen last, by what identifies each.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int = NETWORKS) -> None:
        self._most = most
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def see(self, network: Hashable) -> Collection[Hashable]:
        """This one is seen now.

        Returns:
            Those that are too many: what is known of them is to be forgotten.
        """
        self._seen[network] = None
        self._seen.move_to_end(network)
        gone = []
        while len(self._seen) > self._most:
            gone.append(self._seen.popitem(last=False)[0])
        return gone
