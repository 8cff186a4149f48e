"""Messages of DNS: a question to bytes, and bytes to values of our own.  Of dnspython,
questions and names are used here, and nothing else anywhere.

Rules:

* A message counts if it has our id, is an answer of a standard query, and has our one question, in
  whatever case.  A refusal may come without the question.
* Of it count the records of class IN in the answer section that lie on the chain of CNAMEs which
  begins at the question, and the SOA record of the authority section.  Nothing else can slip in.
* Aliases that have an end without a record lead to nothing if the SOA record is that of a zone in
  which that end is; else it is to be asked about.
* With the records of a service, the addresses of their targets in the additional section count.
* What does not count is not read (`records`): so no message takes more than milliseconds.
* Records of HTTPS and SVCB are read by us (`service_records`), as what makes no sense of them is
  to fail the service alone.
* 0.0.0.0 and :: are nobody's addresses, and left out.  An IPv4-mapped address is an IPv4 address.
* 256 addresses are used; more are left out.
* Whatever a message is, reading it raises nothing.

Sources: RFC 1035, RFC 2308, RFC 5452, RFC 6604, RFC 6891.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from importlib import import_module
from struct import unpack_from
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...explanations.extras import not_installed
from ...sansio.finding import AAAA, HTTPS, SRV, SVCB, A
from ...sansio.service_records import (
    Malformed,
    SRVRecord,
    limited,
    read_svcb,
    usable_addresses,
)
from .plain import plain_records
from .records import ADDITIONAL, ANSWER, CNAME, SOA, minimum_of, records_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .records import Record

__all__ = [
    "AAAA",
    "CIRCLE",
    "LONGEST_TTL",
    "A",
    "Question",
    "Reply",
    "encode",
    "read",
    "require",
    "type_name",
]

dns: Any = None
"""dnspython, as soon as `require` has imported it."""

CIRCLE: Final = "answered, but its aliases lead in a circle"
LONGEST_TTL: Final = 86400
"""RFC 8767, section 4: days, not years."""
LONGEST_NEGATIVE_TTL: Final = 3600
"""RFC 2308, section 5: one to three hours."""
PAYLOAD: Final = 1232
"""Octets of a datagram that no path fragments: the DNS flag day of 2020."""
_MOST_LINKS: Final = 16
_MOST_ADDRESSES: Final = 256
_HEADER: Final = 12
_BEHIND_NAME: Final = 4  # type and class, and then perhaps an OPT record
_OPT_RECORD: Final = 11
_QR, _AA, _TC, _RA, _AD = 0x8000, 0x0400, 0x0200, 0x0080, 0x0020
_NOERROR: Final = 0
_WITHOUT_QUESTION: Final = (1, 2, 4, 5)
"""FORMERR, SERVFAIL, NOTIMP, REFUSED."""
_SERVICES: Final = (SVCB, HTTPS)
_FAMILIES: Final = {A: socket.AF_INET, AAAA: socket.AF_INET6}
_SIZES: Final = {A: 4, AAAA: 16}


class Question(NamedTuple):
    """What is asked.

    Attributes:
        name: in A-labels, lowered, without a dot at the end.
        type: of the records that are asked for, by its number.
    """

    name: str
    type: int


class Reply(NamedTuple):
    """What a server has said.

    Attributes:
        rcode: the response code.
        truncated: there is more, by TCP.
        addresses: in their order, without duplicates.
        ttl: seconds for which they, and the aliases that led there, are good.
        negative_ttl: seconds for which it is known that there are none, no longer than the aliases
            are good that led to that; None if nobody says so.
        owner_negative_ttl: the same for `owner`, however long the aliases are good.
        links: how many aliases there are.
        leads_to: where a chain of aliases ends that has no record here, nor a SOA; else empty.
        lame: it knows nothing of the name, and does not ask anybody either.
        nobody: it answers with the address of nobody, as filters do.
        problem: what the server has done, if something is wrong with the message; else empty.
        records: those of a service.
        owner: whose records they are, or would be: where the aliases end.
        additional: addresses of their targets, by name and type.
        malformed: what is wrong with those records; else empty.
        left_out: how many records are not read, or not used, as there are too many.
    """

    rcode: int
    truncated: bool = False
    addresses: tuple[str, ...] = ()
    ttl: int = LONGEST_TTL
    negative_ttl: int | None = None
    owner_negative_ttl: int | None = None
    links: int = 0
    leads_to: str = ""
    lame: bool = False
    nobody: bool = False
    problem: str = ""
    records: tuple[Any, ...] = ()
    owner: str = ""
    additional: dict[tuple[str, int], tuple[str, ...]] | None = None
    malformed: str = ""
    left_out: int = 0

    @property
    def rcode_name(self) -> str:
        """The response code as its registry has it."""
        return str(dns.rcode.to_text(dns.rcode.Rcode(self.rcode)))


def require() -> None:
    """Import dnspython, before it is needed in the middle of a lookup.

    Raises:
        ImportError: it is not installed.
    """
    global dns
    try:
        for name in ("message", "name", "rcode", "rdatatype"):
            import_module(f"dns.{name}")
    except ImportError as error:
        raise ImportError(not_installed("dnspython", "dns")) from error
    dns = import_module("dns")


@lru_cache(64)
def type_name(type: int) -> str:
    """A type of record as its registry has it."""
    return str(dns.rdatatype.to_text(dns.rdatatype.RdataType(type)))


def encode(question: Question, identity: int, *, edns: bool, authentic: bool = False) -> bytes:
    """A question as it is sent.

    Args:
        identity: of the message.
        edns: whether to say that larger answers are taken.
        authentic: whether to ask if the answer is authentic.
    """
    return identity.to_bytes(2, "big") + _encoded(question, edns, authentic)[2:]


@lru_cache(256)
def _name(text: str) -> Any:
    return dns.name.from_text(text)


@lru_cache(256)
def _encoded(question: Question, edns: bool, authentic: bool) -> bytes:
    """The same with any id: names are asked for again and again."""
    message = dns.message.make_query(
        _name(question.name),
        dns.rdatatype.RdataType(question.type),
        use_edns=0 if edns else False,
        payload=PAYLOAD,
    )
    if authentic:
        message.flags |= _AD
    return bytes(message.to_wire())


def read(data: bytes, asked: bytes, question: Question) -> Reply | None:
    """What a message says to a question.

    Args:
        asked: the question as it was sent.

    Returns:
        None if the message does not answer this question.
    """
    if len(data) < _HEADER or data[:2] != asked[:2]:
        return None
    flags, questions = unpack_from("!2H", data, 2)
    if not flags & _QR or flags >> 11 & 0xF:
        return None
    end = len(asked) - (_BEHIND_NAME + _OPT_RECORD if asked[11] else _BEHIND_NAME)
    ours = asked[_HEADER:end].lower(), asked[end : end + 4]
    theirs = data[_HEADER:end].lower(), data[end : end + 4]
    if not (
        (questions == 1 and ours == theirs) or (not questions and flags & 0xF in _WITHOUT_QUESTION)
    ):
        return None
    if flags & _TC:
        return Reply(flags & 0xF, truncated=True)
    family = _FAMILIES.get(question.type)
    plain = None
    if family is not None or question.type in _SERVICES:
        plain = plain_records(data, end + 4, question.type, _SIZES.get(question.type))
    if plain is not None:
        found, ttl = plain[0], min(plain[1], LONGEST_TTL)
        if family is not None:
            return _addresses([socket.inet_ntop(family, each) for each in found], ttl)
        return _services(dict.fromkeys(found), _text(_name(question.name)), ttl, {})
    try:
        reply, left_out = _read(data, flags, question)
        return reply._replace(left_out=reply.left_out + left_out) if left_out else reply
    except Exception:  # dnspython's, and what it may have overlooked
        return Reply(flags & 0xF, problem="sent an answer that makes no sense")


def _read(data: bytes, flags: int, question: Question) -> tuple[Reply, int]:
    """What a message says, and how many records it has that are not read."""
    records, extended, left_out = records_of(data, question.type, _name_at)
    rcode = extended << 4 | flags & 0xF
    sets: dict[tuple[Any, int], list[Record]] = {}
    for record in records:
        if record.section == ANSWER:
            sets.setdefault((record.owner, record.type), []).append(record)
    name, ttl = _name(question.name), LONGEST_TTL
    seen = {name}
    while (name, CNAME) in sets and (name, question.type) not in sets:
        alias = sets[name, CNAME][0]
        name, ttl = _name_in(data, alias), min(ttl, alias.ttl)
        if name in seen or len(seen) > _MOST_LINKS:
            return Reply(rcode, problem=CIRCLE), left_out
        seen.add(name)
    links, found = len(seen) - 1, sets.get((name, question.type))
    if found is None or rcode != _NOERROR:
        reply = _negative(data, records, flags, rcode, name, ttl, links)
        return reply, left_out
    ttl = min(ttl, *(each.ttl for each in found))
    if question.type in _FAMILIES:
        reply = _addresses([_address(data, each) for each in found], ttl)
    else:
        additional: dict[tuple[str, int], list[str]] = {}
        for record in records:
            if record.section == ADDITIONAL:
                key = _text(record.owner), record.type
                additional.setdefault(key, []).append(_address(data, record))
        of_targets = {key: _addresses(each, 0).addresses for key, each in additional.items()}
        octets = [data[each.at : each.at + each.length] for each in found]
        given: Iterable[Any] = octets
        if question.type == SRV:
            given = [_srv(data, each) for each in found]
        reply = _services(dict.fromkeys(given), _text(name), ttl, of_targets)
    return reply._replace(links=links), left_out


def _negative(
    data: bytes, records: list[Record], flags: int, rcode: int, name: Any, ttl: int, links: int
) -> Reply:
    """That there is nothing at a name, to which aliases have led that are good for ``ttl``."""
    zone, nothing_for = None, None
    for record in records:
        if record.type == SOA:
            zone = record.owner
            nothing_for = min(record.ttl, minimum_of(data, record), LONGEST_NEGATIVE_TTL)
    within = zone is not None and name.is_subdomain(zone)
    if links and rcode == _NOERROR and not within:
        return Reply(rcode, ttl=ttl, links=links, leads_to=_text(name))
    lame = rcode == _NOERROR and nothing_for is None and not flags & (_AA | _RA)
    return Reply(
        rcode,
        ttl=ttl,
        negative_ttl=None if nothing_for is None else min(nothing_for, ttl),
        owner_negative_ttl=nothing_for if within else None,
        links=links,
        owner=_text(name),
        lame=lame,
    )


def _name_at(data: bytes, at: int) -> Any:
    return dns.name.from_wire(data, at)[0]


def _name_in(data: bytes, record: Record, behind: int = 0) -> Any:
    """The name with which a record ends, ``behind`` so many octets."""
    name, used = dns.name.from_wire(data, record.at + behind)
    if behind + used != record.length:
        raise ValueError("a record does not end where its name does")
    return name


def _address(data: bytes, record: Record) -> str:
    octets = data[record.at : record.at + record.length]
    return socket.inet_ntop(_FAMILIES[record.type], octets)  # it refuses another length


def _srv(data: bytes, record: Record) -> SRVRecord:
    target = _text(_name_in(data, record, 6))
    priority, weight, port = unpack_from("!3H", data, record.at)
    return SRVRecord(priority, weight, port, "" if target == "." else target)


def _addresses(texts: list[str], ttl: int) -> Reply:
    all_of_them = usable_addresses(texts)
    addresses, left_out = all_of_them[:_MOST_ADDRESSES], len(all_of_them[_MOST_ADDRESSES:])
    nobody = not addresses
    return Reply(_NOERROR, addresses=addresses, ttl=ttl, nobody=nobody, left_out=left_out)


def _services(given: Iterable[Any], owner: str, ttl: int, additional: Any) -> Reply:
    """Records of a service: octets of HTTPS and SVCB, or SRV records."""
    try:
        read = [read_svcb(each) if isinstance(each, bytes) else each for each in given]
    except Malformed as error:
        return Reply(_NOERROR, ttl=ttl, malformed=str(error))
    records, left_out = limited(read)
    of_them = {"records": records, "owner": owner, "additional": additional}
    return Reply(_NOERROR, ttl=ttl, left_out=left_out, **of_them)


def _text(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True).lower())
