"""The addresses of a race that have not been tried, and whose turn it is.  Pure.

Rules:

* All addresses of a rank come before any of the next; the lowest rank is first.  A rank is any
  value that can be compared.
* Within a rank the families take turns (`interleave` says how), beginning with the family that is
  preferred, or else with the first address's.  Addresses that come late are placed as if they had
  been there, counting those already taken.
* An address is taken once, however often it is added.  One that is added again moves to the last
  place of the rank that it is then added to.

Source: RFC 8305 section 4.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from typing import TypeAlias

__all__ = ["Rank", "Waiting"]

A = TypeVar("A", bound="Hashable")
Rank: TypeAlias = "tuple[int, int]"
"""Which lookup, in the order of preference; and which of its groups."""


class _Family(Generic[A]):
    """The addresses of one family in a rank, and whose turn it is."""

    def __init__(self) -> None:
        self.turn = 0  # the lowest is next
        self.waiting: OrderedDict[A, None] = OrderedDict()


class _Rank(Generic[A]):
    """Its families, in the order in which they take turns."""

    def __init__(self) -> None:
        self.families: dict[Hashable, _Family[A]] = {}
        self.begun = False
        self.waiting = 0  # how many addresses


_turn: Final = attrgetter("turn")


class Waiting(Generic[A]):
    """The addresses that wait to be tried.

    Args:
        family_of: tells an address's family.
        first_family_count: how many of the first family come before the families take turns.
        prefer: the family that comes first; None for that of the first address.

    Everything takes the same time, however many addresses there are.
    """

    def __init__(
        self,
        family_of: Callable[[A], Hashable],
        first_family_count: int,
        prefer: Hashable | None = None,
    ) -> None:
        self._family_of = family_of
        self._first_family_count = first_family_count
        self._prefer = prefer
        self._ranks: dict[Rank, _Rank[A]] = {}
        self._rank_of: dict[A, Rank] = {}  # of those that wait
        self._taken: set[A] = set()
        self._order: list[Rank] = []  # a heap of ranks, each that has addresses among them

    def __len__(self) -> int:
        return len(self._rank_of)

    @property
    def known(self) -> bool:
        """Whether there is, or was, any address."""
        return bool(self._rank_of or self._taken)

    @property
    def best(self) -> Rank | None:
        """The rank of the next address; None if there is none."""
        while self._order and not self._ranks[self._order[0]].waiting:
            heappop(self._order)
        return self._order[0] if self._order else None

    def families(self, rank: Rank) -> set[Hashable]:
        """The families of a rank that have had addresses."""
        return set(self._ranks[rank].families) if rank in self._ranks else set()

    def add(self, addresses: Iterable[A], rank: Rank) -> None:
        """There are more, in order of preference; of duplicates among them the first counts."""
        for address in dict.fromkeys(addresses):
            if address in self._taken:
                continue
            before = self._rank_of.get(address)
            if before is not None:
                self._remove(address, before)
            kept = self._ranks.setdefault(rank, _Rank())
            family = kept.families.setdefault(self._family_of(address), _Family())
            family.waiting[address] = None
            if not kept.waiting:
                heappush(self._order, rank)
            kept.waiting += 1
            self._rank_of[address] = rank

    def order(self, addresses: Iterable[A]) -> None:
        """Of those that wait, these come in this order, behind the others of their rank; the first
        in each rank says which family begins there."""
        begun: set[Rank] = set()
        for address in addresses:
            rank = self._rank_of.get(address)
            if rank is not None:
                family = self._family_of(address)
                if rank not in begun:
                    begun.add(rank)
                    self.begin_with(family, rank)
                self._ranks[rank].families[family].waiting.move_to_end(address)

    def withdraw(self, addresses: Iterable[A]) -> None:
        """These are not to be tried; those that do not wait are left alone."""
        for address in addresses:
            rank = self._rank_of.pop(address, None)
            if rank is not None:
                self._remove(address, rank)

    def begin_with(self, family: Hashable, rank: Rank) -> None:
        """A family of the rank is first, unless one has been taken of it."""
        kept = self._ranks[rank]
        if not kept.begun:
            kept.families = {family: kept.families[family], **kept.families}

    def take(self) -> A:
        """The next address, which does not wait any more."""
        rank = self.best
        assert rank is not None  # there is one
        kept = self._ranks[rank]
        if self._prefer in kept.families:
            self.begin_with(self._prefer, rank)
        family = min((each for each in kept.families.values() if each.waiting), key=_turn)
        if not kept.begun:
            kept.begun = True
            family.turn = 1 - self._first_family_count
        family.turn += 1
        address, _ = family.waiting.popitem(last=False)
        kept.waiting -= 1
        del self._rank_of[address]
        self._taken.add(address)
        return address

    def _remove(self, address: A, rank: Rank) -> None:
        kept = self._ranks[rank]
        family = self._family_of(address)
        del kept.families[family].waiting[address]
        kept.waiting -= 1
        if not (kept.families[family].waiting or kept.begun):
            del kept.families[family]  # it need not be the first any more
