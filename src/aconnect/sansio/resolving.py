"""What resolvers have yet to say, and whether the first start of a race waits for it.  Pure.

Rules:

* The first start waits for a better address, until ``resolution_delay`` after the first usable
  one came: IPv4 for IPv6 (or the other way round, if IPv4 is preferred), a rank for those before
  it.
* Of a lookup that says itself what it awaits, the first start waits for that, whatever there is
  already, and for nothing else; but where a family is preferred, for that one and no other.
* It does not wait for whoever has answered, nor if the race must be over by then.

Sources: RFC 8305 section 3; draft-ietf-happy-happyeyeballs-v3 section 4.2.
"""

from __future__ import annotations

from math import inf
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable

__all__ = ["Resolving"]


class Resolving:
    """The answers that are expected.

    Args:
        ranks: how many ranks are looked up.
        prefer: the family that comes first; None for IPv6, to wait for.
        delay: the resolution delay.
        until: when the race must be over.

    Attributes:
        awaited: the family that is waited for.
        held_until: until when the first start may wait; infinity as long as there is no address.
    """

    def __init__(self, ranks: int, prefer: int | None, delay: float, until: float) -> None:
        self.awaited: int = AF_INET6 if prefer is None else prefer
        self.held_until: float = inf
        self._other = AF_INET if self.awaited == AF_INET6 else AF_INET6
        self._delay = delay
        self._until = until
        self._pending = set(range(ranks))
        self._answered: set[int] = set()  # ranks in which the awaited family has answered
        self._prefers = prefer is not None
        self._said: dict[int, frozenset[Hashable]] = {}  # what a rank says that it awaits

    @property
    def over(self) -> bool:
        """Whether there will be no more addresses."""
        return not self._pending

    def addresses_there(self, now: float) -> None:
        """There is a usable address."""
        self.held_until = min(self.held_until, now + self._delay)

    def answered(self, family: Hashable, rank: int) -> None:
        """Nothing more will come for a family of a rank."""
        if family == self.awaited:
            self._answered.add(rank)
        if rank in self._said:
            self._said[rank] -= {family}

    def awaiting(self, what: Iterable[Hashable], rank: int) -> None:
        """What a rank says that it awaits, from now on."""
        self._said[rank] = frozenset(what)

    def finished(self, rank: int | None = None) -> None:
        """Nothing more will come for a rank, or for any."""
        if rank is None:
            self._pending.clear()
        else:
            self._pending.discard(rank)

    def holds(self, best: int, families: Collection[Hashable]) -> bool:
        """Whether the first start waits.

        Args:
            best: the first rank that has addresses.
            families: those that it has had.
        """
        if self.held_until >= self._until:
            return False
        return self._awaits(best, families) or any(rank < best for rank in self._pending)

    def _awaits(self, rank: int, families: Collection[Hashable]) -> bool:
        said = self._said.get(rank)
        if said is None:
            return self.awaits_family(rank, families)
        if self._prefers and self.awaits_family(rank, families):
            return True
        awaited = said - {AF_INET, AF_INET6} if self._prefers else said
        return bool(awaited) and rank in self._pending

    def awaits_family(self, rank: int, families: Collection[Hashable]) -> bool:
        """Whether the family that comes first may still have an answer, and there is time."""
        expected = rank in self._pending and rank not in self._answered
        in_time = self.held_until < self._until
        return expected and in_time and set(families) == {self._other}
