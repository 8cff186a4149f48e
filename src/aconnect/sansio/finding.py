"""Where a service is: what has to be asked, and what the answers make of it.  Pure.

Rules:

* A finding says which questions are to be put, in their order, and is told the answers in whatever
  order they come.  What has changed by them is to be said: addresses of a rank, and those that are
  no longer any.
* The places where a service is offered have their ranks; the host itself comes last, unless no
  place is known.  An address is of the first rank that has it.
* Of too many records, those of the lowest priorities count, however they come.
* Hints are the addresses of their target until that has answered, and when it has failed to.
* What came with an answer is not asked for again.
* Awaited are the service, until it is known or known not to be; and then an address of the first
  rank that may have one, and from that rank an answer of the family that comes first.  So where a
  target has but the other family, its address goes before the host's, whatever comes first.  What
  is not awaited any more never is again.

Sources: RFC 9460 sections 2.4, 3, 5 and 7.3; RFC 2782; draft-ietf-happy-happyeyeballs-v3, section
4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from .service_records import ServiceRecord, SRVRecord, drawn, grouped, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from random import Random

    from .draws import Draws

__all__ = [
    "AAAA",
    "HTTPS",
    "SRV",
    "SVCB",
    "A",
    "Finding",
    "Offer",
    "Offers",
    "Place",
    "Said",
    "Targets",
]

A: Final = 1
AAAA: Final = 28
SRV: Final = 33
SVCB: Final = 64
HTTPS: Final = 65

MOST_RECORDS: Final = 16
MOST_TARGETS: Final = 8
MOST_ALIASES: Final = 8
_TOO_MANY_RECORDS: Final = f"only the first {MOST_RECORDS} records are used"
_TOO_MANY_ALIASES: Final = f"its aliases lead in a circle, or are more than {MOST_ALIASES}"
_TOO_MANY_TARGETS: Final = f"only the first {MOST_TARGETS} targets are used"

Asked: TypeAlias = "tuple[str, int]"
"""A name, and a type of record."""
Address: TypeAlias = "tuple[str, int]"
"""An IP address as text, and a port."""


class Place(NamedTuple):
    """Where a service may be: a host and a port; and the record that says so, if one does."""

    host: str
    port: int
    record: ServiceRecord | SRVRecord | None = None

    def hints(self, type: int) -> tuple[str, ...]:
        """The addresses that the record itself has."""
        if not isinstance(self.record, ServiceRecord):
            return ()
        return self.record.ipv6 if type == AAAA else self.record.ipv4


class Said(NamedTuple):
    """What is to be said: there are more addresses of a rank, or some are none any more."""

    rank: int = 0
    place: Place | None = None
    hint: bool = False
    addresses: tuple[Address, ...] = ()
    withdrawn: tuple[Address, ...] = ()


class Offer(NamedTuple):
    """A record: at which place, of which rank; or why it is not used."""

    place: Place
    rank: int = 0
    refused: str = ""


class Finding:
    """What the two kinds of services have in common.

    Args:
        host: whose service it is.
        port: that of the host itself; None if it is not to be dialled.
        types: of addresses, in the order in which they are asked for.
        preferred: the one that is worth waiting for.
    """

    def __init__(self, host: str, port: int | None, types: Sequence[int], preferred: int) -> None:
        self._host = host
        self._port = port
        self._types = types
        self._preferred = preferred
        self._service_known = False
        self._at_rest = False
        self._ranks: list[list[Place]] = []
        self._asked: dict[Asked, None] = {}
        self._answers: dict[Asked, tuple[str, ...] | None] = {}
        self._said: dict[Address, int] = {}
        self._offers: list[Offer] = []
        self._taken: list[tuple[str, int, int]] = []

    @property
    def found(self) -> bool:
        """Whether there is any address."""
        return bool(self._said)

    def addresses_answered(self, name: str, type: int, addresses: Iterable[str] | None) -> None:
        """The addresses of a name; None if nobody could tell."""
        self._answers[name, type] = None if addresses is None else tuple(addresses)

    def has_addresses(self, name: str) -> bool:
        """Whether the name has any, as has been answered."""
        return any(self._answers.get((name, type)) for type in self._types)

    def to_ask(self) -> list[Asked]:
        """The questions that are to be put now; each is given once."""
        new = [each for each in dict.fromkeys(self._wanted()) if each not in self._asked]
        new = [each for each in new if each not in self._answers]
        self._asked.update(dict.fromkeys(new))
        return new

    def offers(self) -> list[Offer]:
        """What records have said; each is given once."""
        offers, self._offers = self._offers, []
        return offers

    def taken(self) -> list[tuple[str, int, int]]:
        """Addresses that came with an answer: name, type and how many; each is given once."""
        taken, self._taken = self._taken, []
        return taken

    def awaiting(self) -> set[Any]:
        """What is worth waiting for: types of addresses, and "service"."""
        if not self._service_known:
            return {self._preferred, "service"}
        for places in self._ranks:  # the first that has an address, or may yet have one
            has_one = self._has(places, self._types)
            if has_one or not self._answered(places, self._types):
                preferred = [self._preferred]
                came = self._has(places, preferred) or self._answered(places, preferred)
                self._at_rest |= has_one and came
                break
        else:
            self._at_rest = True
        return set() if self._at_rest else {self._preferred}

    def _has(self, places: Iterable[Place], types: Iterable[int]) -> bool:
        """Whether any of the places has an address of these types."""
        return any(self._addresses_of(each, type)[0] for each in places for type in types)

    def _answered(self, places: Iterable[Place], types: Iterable[int]) -> bool:
        """Whether nothing more will come for the places."""
        return all((each.host, type) in self._answers for each in places for type in types)

    def say(self) -> list[Said]:
        """What has changed since it was last asked for."""
        picture: dict[Address, tuple[int, Place, bool]] = {}
        for rank, places in enumerate(self._ranks):
            for place in places:
                for type in self._types:
                    hosts, hint = self._addresses_of(place, type)
                    for each in hosts:
                        picture.setdefault((each, place.port), (rank, place, hint))
        gone = tuple(each for each in self._said if each not in picture)
        groups: dict[tuple[int, Place, bool], list[Address]] = {}
        for address, where in picture.items():
            if self._said.get(address) != where[0]:
                groups.setdefault(where, []).append(address)
        self._said = {address: rank for address, (rank, _, _) in picture.items()}
        said = [Said(*where, tuple(addresses)) for where, addresses in groups.items()]
        if gone:
            said.insert(0, Said(withdrawn=gone))
        return said

    def _addresses_of(self, place: Place, type: int) -> tuple[tuple[str, ...], bool]:
        """The addresses of a place, and whether they are hints."""
        answer = self._answers.get((place.host, type))
        return (place.hints(type), True) if answer is None else (answer, False)

    def _own(self) -> list[list[Place]]:
        """The host itself, as a rank."""
        return [] if self._port is None else [[Place(self._host, self._port)]]

    def _limited(self, ranks: Iterable[list[Place]]) -> list[list[Place]]:
        """As many places as there may be targets."""
        targets: dict[str, None] = {}
        kept: list[list[Place]] = []
        for rank in ranks:
            some = []
            for place in rank:
                if place.host in targets or len(targets) < MOST_TARGETS:
                    targets[place.host] = None
                    some.append(place)
                else:
                    self._offers.append(Offer(place, refused=_TOO_MANY_TARGETS))
            if some:
                kept.append(some)
        return kept

    def _wanted(self) -> Iterable[Asked]:
        """All that is to be asked, in its order."""
        for rank in self._ranks:
            for place in rank:
                for type in self._types:
                    yield place.host, type

    def _take_additional(
        self, additional: Mapping[Asked, tuple[str, ...]], targets: Iterable[str]
    ) -> None:
        """Addresses that came with an answer, of its targets."""
        for target in targets:
            for type in self._types:
                if (target, type) in additional and (target, type) not in self._answers:
                    self._answers[target, type] = additional[target, type]
                    self._taken.append((target, type, len(additional[target, type])))


class Offers(Finding):
    """The places of HTTPS or SVCB records, and the host.

    Args:
        host, port, types, preferred: as for `Finding`.
        query: the name that is asked about, and the type of its records.
        alpn: the protocols that the caller speaks; none for any.
        default: what is spoken where a record does not say.
        prefer: as for `grouped`.
        refuse_port: says why a port may not be dialled; empty if it may.
        random: decides between equals.
    """

    def __init__(
        self,
        host: str,
        port: int,
        types: Sequence[int],
        preferred: int,
        *,
        query: Asked,
        alpn: Sequence[str],
        default: Sequence[str],
        prefer: Sequence[Sequence[str] | str],
        refuse_port: Callable[[int], str],
        random: Random | Draws,
    ) -> None:
        super().__init__(host, port, types, preferred)
        self.query: Asked = query
        self._own_port = port
        self._alpn = alpn
        self._default = default
        self._prefer = prefer
        self._refuse_port = refuse_port
        self._random = random
        self._aliases: list[str] = []
        self._queries: list[Asked] = [query]
        self._ranks = self._own()

    def records_answered(
        self,
        owner: str,
        records: Sequence[ServiceRecord] | None,
        additional: Mapping[Asked, tuple[str, ...]],
    ) -> None:
        """What the records of `query` say, and whose they are; None for none."""
        aliases = [each.target for each in records or () if each.priority == 0]
        if aliases:
            self._follow([each for each in aliases if each])
            return
        usable: list[ServiceRecord] = []
        in_order = sorted(records or (), key=lambda each: each.priority)
        for number, record in enumerate(in_order):
            refused = self._why_not(record) if number < MOST_RECORDS else _TOO_MANY_RECORDS
            if refused:
                self._offers.append(Offer(self._place(record, owner), refused=refused))
            else:
                usable.append(record)
        groups = grouped(usable, self._prefer, self._random)
        ranks = self._limited([self._place(each, owner) for each in group] for group in groups)
        for rank, places in enumerate(ranks):
            self._offers += [Offer(place, rank) for place in places]
        self._take_additional(additional, (place.host for rank in ranks for place in rank))
        self._know(ranks)

    def _why_not(self, record: ServiceRecord) -> str:
        port = self._own_port if record.port is None else record.port
        refused = "" if port == self._own_port else self._refuse_port(port)
        return unusable(record, self._alpn, self._default, refused)

    def _place(self, record: ServiceRecord, owner: str) -> Place:
        port = self._own_port if record.port is None else record.port
        return Place(record.target or owner, port, record)

    def _follow(self, targets: list[str]) -> None:
        """Go on where an alias leads to."""
        target = self._random.choice(targets) if targets else ""
        known = (self._queries[0][0], *self._aliases)
        if not target:
            self._know([])
        elif target in known or len(self._aliases) >= MOST_ALIASES:
            record = ServiceRecord(0, target)
            place = Place(target, self._own_port, record)
            self._offers.append(Offer(place, refused=_TOO_MANY_ALIASES))
            self._aliases.clear()  # as if there were no record
            self._know([])
        else:
            self._aliases.append(target)
            self.query = (target, self.query[1])
            self._queries.append(self.query)
            self._ranks = self._fallback()

    def _know(self, ranks: list[list[Place]]) -> None:
        self._service_known = True
        self._ranks = [*ranks, *self._fallback()]

    def _fallback(self) -> list[list[Place]]:
        """Where an alias has led to, and the host."""
        last = [[Place(self._aliases[-1], self._own_port)]] if self._aliases else []
        return [*last, *self._own()]

    def _wanted(self) -> Iterable[Asked]:
        yield self.query
        yield from super()._wanted()


class Targets(Finding):
    """The targets of SRV records, each a rank of its own.

    Args:
        host, port, types, preferred: as for `Finding`.
        query: the name that is asked about.
        random: draws.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        types: Sequence[int],
        preferred: int,
        *,
        query: str,
        random: Random | Draws,
    ) -> None:
        super().__init__(host, port, types, preferred)
        self.query: Asked = (query, SRV)
        self._random = random

    def records_answered(
        self, records: Sequence[SRVRecord], additional: Mapping[Asked, tuple[str, ...]]
    ) -> bool:
        """What the records say; the host itself, if there are none.

        Returns:
            Whether the service is offered, so far as they say.
        """
        self._service_known = True
        if not records:
            self._ranks = self._own()
            return self._port is not None
        offered = sorted([each for each in records if each.target], key=lambda each: each.priority)
        drawn_ones = drawn(offered[:MOST_RECORDS], self._random)
        places = [Place(each.target, each.port, each) for each in drawn_ones]
        for record in offered[MOST_RECORDS:]:
            place = Place(record.target, record.port, record)
            self._offers.append(Offer(place, refused=_TOO_MANY_RECORDS))
        self._offers += [Offer(each, refused="it has port 0") for each in places if not each.port]
        ranks = self._limited([each] for each in places if each.port)
        self._offers += [Offer(place, rank) for rank, [place] in enumerate(ranks)]
        self._take_additional(additional, (place.host for [place] in ranks))
        self._ranks = ranks
        return bool(ranks)

    def _wanted(self) -> Iterable[Asked]:
        yield self.query
        yield from super()._wanted()
