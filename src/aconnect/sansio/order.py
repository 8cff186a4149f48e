"""In which order addresses are tried.

Pure: nothing is looked up.  What the kernel would say comes in as an argument.

Rules:

* The families take turns, beginning with the family of the first address.  That family may
  have more than one turn at the start.  Within a family the order stays (RFC 8305 section 4).
* Of duplicates the first stays.
* Where nobody has sorted the addresses, RFC 6724 section 6 does: rules 1, 2, 5, 6, 8, 9 and 10,
  which need the destination, the source address the kernel would use, and the policy table.
  Rules 3, 4 and 7 (deprecated addresses, home addresses, native transport) need to know more of
  the source and of the route than any portable call tells.
* Rule 9, the longest common prefix, is for IPv6 alone.  The RFC has it for both, but a prefix
  that an IPv4 address shares with a private source address behind a translator says nothing of
  nearness; it would have each client prefer the same of several servers, and undo the balance
  that a name server makes by rotating its answers.  Go and Windows do the same.

Sources: RFC 8305 section 4; RFC 6724 sections 2.1 (the table), 2.2 (the prefix), 3.1 and 3.2
(scopes), 6 (the rules).
"""

from __future__ import annotations

import socket
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["POLICY_TABLE", "PolicyRow", "interleave", "sort_by_history", "sort_by_rfc6724"]

A = TypeVar("A")
H = TypeVar("H", bound="Hashable")


def interleave(
    addresses: Iterable[H],
    family_of: Callable[[H], Hashable],
    first_family_count: int = 1,
) -> list[H]:
    """The addresses with their families taking turns, without duplicates.

    Args:
        addresses: in order of preference; hashable.
        family_of: tells the family of an address.  There may be any number of families.
        first_family_count: how many of the first address's family come first; at least 1.

    Raises:
        ValueError: ``first_family_count`` is less than 1.

    Source: RFC 8305 sections 4 and 8.
    """
    if first_family_count < 1:
        raise ValueError(f"first_family_count must be at least 1, not {first_family_count!r}")
    families: dict[Hashable, list[H]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(family_of(address), []).append(address)
    if not families:
        return []
    first, *others = families.values()
    ahead = first_family_count - 1
    queues = [first[ahead:], *others]
    turns = range(max(map(len, queues)))
    return first[:ahead] + [queue[turn] for turn in turns for queue in queues if turn < len(queue)]


class PolicyRow(NamedTuple):
    """One row of a policy table.

    Attributes:
        prefix: an IPv6 prefix; IPv4 addresses are those in ``::ffff:0:0/96``.
        precedence: of destinations, the higher is preferred.
        label: a destination whose source address has the same label is preferred.
    """

    prefix: str
    precedence: int
    label: int


POLICY_TABLE: Final[tuple[PolicyRow, ...]] = (
    PolicyRow("::1/128", 50, 0),  # loopback
    PolicyRow("::/0", 40, 1),  # all that no other row is about
    PolicyRow("::ffff:0:0/96", 35, 4),  # IPv4
    PolicyRow("2002::/16", 30, 2),  # 6to4
    PolicyRow("2001::/32", 5, 5),  # Teredo
    PolicyRow("fc00::/7", 3, 13),  # unique local
    PolicyRow("::/96", 1, 3),  # IPv4-compatible, abolished
    PolicyRow("fec0::/10", 1, 11),  # site-local, abolished
    PolicyRow("3ffe::/16", 1, 12),  # 6bone, abolished
)
"""The default policy table of RFC 6724 section 2.1.  The order of the rows does not matter: the
longest prefix counts."""


def sort_by_rfc6724(
    addresses: Iterable[A],
    source_of: Callable[[A], str | None],
    policy_table: Iterable[PolicyRow] = POLICY_TABLE,
    *,
    host_of: Callable[[A], str] = str,
    places_of: Callable[[list[A]], list[int]] | None = None,
) -> list[A]:
    """The addresses in the order in which RFC 6724 prefers them.

    Addresses between which no rule decides stay as they were; so do duplicates.

    Args:
        addresses: IPv4 and IPv6 addresses as text, or whatever ``host_of`` knows.
        source_of: tells the source address that the kernel would use for an address, as text,
            or None if it has no route.  It is called once for each address, with the very
            object, so it can see a port and a scope where there are any.
        policy_table: rows of which one has the prefix ``::/0``.
        host_of: tells the text of an address: for an `Endpoint`, its ``sockaddr[0]``.  A zone
            behind a ``%`` is left out of account.
        places_of: decides between rules 8 and 9: is given addresses that rules 1 to 8 do not tell
            apart, and gives the place of each, the lowest first.

    Raises:
        ValueError: what should be an address is none, or no row of the table is about it.

    Source: RFC 6724 section 6.
    """
    ranked = sorted(_ranked(addresses, source_of, policy_table, host_of), key=_by_rank)
    ordered: list[A] = []
    for _, group in groupby(ranked, key=_by_rank):
        for equals in _by_place(list(group), places_of):
            ordered += _sorted_by_prefix(equals)
    return ordered


def sort_by_history(
    addresses: Iterable[A],
    source_of: Callable[[A], str | None],
    places_of: Callable[[list[A]], list[int]],
    policy_table: Iterable[PolicyRow] = POLICY_TABLE,
    *,
    host_of: Callable[[A], str] = str,
) -> list[A]:
    """Addresses that somebody has sorted, as getaddrinfo(3) has, with what is known of them.

    Neighbours that rules 1 to 8 of RFC 6724 do not tell apart change places; nothing else does:
    who has sorted them may have had another table, and reasons of his own.

    Args:
        addresses, source_of, policy_table, host_of, places_of: as for `sort_by_rfc6724`.

    Raises:
        ValueError: as `sort_by_rfc6724`.
    """
    ordered: list[A] = []
    ranked = _ranked(addresses, source_of, policy_table, host_of)
    for _, group in groupby(ranked, key=_by_rank):
        for equals in _by_place(list(group), places_of):
            ordered += [entry.address for entry in equals]
    return ordered


def _ranked(
    addresses: Iterable[A],
    source_of: Callable[[A], str | None],
    policy_table: Iterable[PolicyRow],
    host_of: Callable[[A], str],
) -> list[_Ranked[A]]:
    default = policy_table is POLICY_TABLE
    policy = _compiled_default() if default else _compile(tuple(policy_table))
    ranked: list[_Ranked[A]] = []
    for address in addresses:
        source = source_of(address)
        to = _number(host_of(address))
        ranked.append(_rank(address, to, None if source is None else _number(source), policy))
    return ranked


def _by_place(
    equals: list[_Ranked[A]], places_of: Callable[[list[A]], list[int]] | None
) -> list[list[_Ranked[A]]]:
    """Those of each place, the lowest first."""
    if places_of is None or len(equals) == 1:
        return [equals]
    places: dict[int, list[_Ranked[A]]] = {}
    for entry, place in zip(equals, places_of([each.address for each in equals]), strict=True):
        places.setdefault(place, []).append(entry)
    return [places[place] for place in sorted(places)]


class _Ranked(NamedTuple, Generic[A]):
    rank: tuple[int, ...]  # by rules 1, 2, 5, 6 and 8; the lower is preferred
    unlike: int | None  # by rule 9, how many bits of the prefix differ; None if not for it
    address: A


_by_rank: Final = attrgetter("rank")


def _rank(address: A, to: int, source: int | None, policy: _Policy) -> _Ranked[A]:
    scope = _scope(to)
    precedence, label = _policy_of(to, policy)
    if source is None:
        # Among themselves, those without a route follow the rules that need no source.
        return _Ranked((1, 0, 0, -precedence, scope), None, address)
    other_scope = scope != _scope(source)
    other_label = label != _policy_of(source, policy)[1]
    unlike = None if _is_ipv4(to) else ((to ^ source) >> _INTERFACE_BITS).bit_length()
    return _Ranked((0, other_scope, other_label, -precedence, scope), unlike, address)


def _sorted_by_prefix(equals: list[_Ranked[A]]) -> list[A]:
    """Rule 9: those it is for change places among themselves, the others keep theirs.

    With the default table they never meet.  A table that ranks IPv4 with IPv6 would otherwise
    have no order at all, for the rule decides only between two IPv6 addresses.
    """
    by_prefix = [entry for entry in equals if entry.unlike is not None]
    by_prefix.sort(key=attrgetter("unlike"))
    following = iter(by_prefix)
    return [(entry if entry.unlike is None else next(following)).address for entry in equals]


_INTERFACE_BITS: Final = 64
"""The right half of an address is the interface's, and not of the prefix (section 2.2)."""
_IPV4: Final = 0xFFFF << 32
_GLOBAL: Final = 14
_LINK_LOCAL: Final = 2


def _is_ipv4(number: int) -> bool:
    return number >> 32 == 0xFFFF


def _number(text: str) -> int:
    """An address as an IPv6 one: IPv4 is mapped (section 3.2)."""
    bare = text.partition("%")[0]
    try:
        if ":" in bare:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, bare), "big")
        return _IPV4 | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):  # not an address; a NUL or another non-ASCII character
        raise ValueError(f"not an IPv4 or IPv6 address: {text!r}") from None


def _scope(number: int) -> int:
    """The number of the scope, as multicast addresses spell it out (sections 3.1 and 3.2)."""
    if _is_ipv4(number):
        local = number >> 24 & 0xFF == 127 or number >> 16 & 0xFFFF == 0xA9FE
        return _LINK_LOCAL if local else _GLOBAL
    if number >> 120 == 0xFF:
        return number >> 112 & 0xF
    if number >> 118 == 0xFE80 >> 6 or number == 1:
        return _LINK_LOCAL
    return 5 if number >> 118 == 0xFEC0 >> 6 else _GLOBAL


_Policy: TypeAlias = "tuple[tuple[int, int, int, int], ...]"


def _compile(table: tuple[PolicyRow, ...]) -> _Policy:
    """Each row as how far to shift, what is then left, precedence and label; longest first."""
    rows = []
    for prefix, precedence, label in table:
        host, _, length = prefix.partition("/")
        shift = 128 - int(length)
        rows.append((shift, _number(host) >> shift, precedence, label))
    return tuple(sorted(rows))


@lru_cache(1)
def _compiled_default() -> _Policy:
    return _compile(POLICY_TABLE)


def _policy_of(number: int, policy: _Policy) -> tuple[int, int]:
    for shift, prefix, precedence, label in policy:
        if number >> shift == prefix:
            return precedence, label
    raise ValueError("policy_table has no row for every address: one must have the prefix ::/0")
