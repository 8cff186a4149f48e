"""The records of a message that count for a question, as far as they take no time.

Rules:

* What counts are records of class IN: of the type that was asked for and CNAMEs in the answer
  section, the first SOA in the authority section, and with records of a service the addresses in
  the additional section.  Nothing else is read, whatever is in it: for each type and class of a
  stranger's choice, dnspython would import a module.
* A TTL of more than 31 bits is large (RFC 8767, section 4).
* Each record takes time, and each label of a name takes dnspython a microsecond.  So 1024 records
  are looked at, and those that count are read until their names have `MOST_STEPS` labels.
* It is an error if a record is cut, or anything is behind the last.

Source: RFC 1035, section 4; RFC 6891, section 6.1.3, for a response code of more than four bits.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...sansio.finding import AAAA, HTTPS, SRV, SVCB, A

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ADDITIONAL",
    "ANSWER",
    "AUTHORITY",
    "CNAME",
    "SOA",
    "Record",
    "Records",
    "minimum_of",
    "records_of",
]

ANSWER, AUTHORITY, ADDITIONAL = 0, 1, 2
CNAME, SOA = 5, 6
MOST_RECORDS: Final = 1024
MOST_STEPS: Final = 4096
_MOST_PARTS: Final = 255
_HEADER: Final = 12
_OPT: Final = 41
_IN: Final = 1
_WITH_ADDRESSES: Final = (SRV, SVCB, HTTPS)
_COUNTS: Final = Struct("!4H")
_RECORD: Final = Struct("!HHIH")  # type, class, TTL, length
_LONGEST_TTL: Final = 0x7FFFFFFF
_NAME_WITHIN: Final = {CNAME: 0, SRV: 6}
"""Where the name is within a record."""
_SOA_NUMBERS: Final = 20


class Record(NamedTuple):
    """One that counts.

    Attributes:
        section: 0 for the answers, 1 for the authority section, 2 for the additional one.
        owner: a name of dnspython's.
        type: its number.
        ttl: seconds.
        at, length: where its data is in the message.
    """

    section: int
    owner: Any
    type: int
    ttl: int
    at: int
    length: int


class Records(NamedTuple):
    """Those of a message.

    Attributes:
        records: those that count.
        extended: the upper bits of the response code.
        left_out: how many there are that were not looked at, or not read.
    """

    records: list[Record]
    extended: int
    left_out: int


def records_of(data: bytes, type: int, read_name: Callable[[bytes, int], Any]) -> Records:
    """The records of a message.

    Args:
        type: of the records that were asked for.
        read_name: gives the name at a place.

    Raises:
        Exception: it is cut, or more than it says, or a name makes no sense.
    """
    questions, *counts = _COUNTS.unpack_from(data, 4)
    at = _HEADER
    for _ in range(questions):
        at = _behind_name(data, at) + 4
    records: list[Record] = []
    names: dict[int, Any] = {}  # that owners point to
    known: dict[int, int] = {}
    seen = steps = extended = unread = 0
    has_soa = False
    for section, count in enumerate(counts):
        for _ in range(min(count, MOST_RECORDS - seen)):
            seen += 1
            owner, at = at, _behind_name(data, at)
            kind, group, ttl, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size + length
            if kind == _OPT and section == ADDITIONAL:
                extended = ttl >> 24
            if group != _IN or not (
                (section == ANSWER and kind in (type, CNAME))
                or (section == AUTHORITY and kind == SOA and not has_soa)
                or (section == ADDITIONAL and kind in (A, AAAA) and type in _WITH_ADDRESSES)
            ):
                continue
            has_soa |= kind == SOA
            begin = at - length
            steps += _steps(data, owner, known)
            if kind in _NAME_WITHIN:
                steps += _steps(data, begin + _NAME_WITHIN[kind], known)
            if steps > MOST_STEPS:
                unread += 1
                continue
            pointer = data[owner] >= 0xC0
            place = (data[owner] & 0x3F) << 8 | data[owner + 1] if pointer else owner
            if place not in names:
                names[place] = read_name(data, owner)
            ttl = min(ttl, _LONGEST_TTL)
            records.append(Record(section, names[place], kind, ttl, begin, length))
    left_out = sum(counts) - seen
    if at > len(data) or (at < len(data) and not left_out):
        raise ValueError("the counts of a message and its length do not agree")
    return Records(records, extended, left_out + unread)


def minimum_of(data: bytes, record: Record) -> int:
    """The last field of an SOA record; what is before that has its form, and is not read.

    Raises:
        Exception: it has another.
    """
    end = record.at + record.length
    if _behind_name(data, _behind_name(data, record.at)) + _SOA_NUMBERS != end:
        raise ValueError("an SOA record has two names and five numbers")
    return int.from_bytes(data[end - 4 : end], "big")


def _behind_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


def _steps(data: bytes, at: int, known: dict[int, int]) -> int:
    """How many labels and pointers a name has; 1 at the least.

    Args:
        known: the same of the names that others point to.
    """
    steps, least = 1, at
    passed: dict[int, int] = {}
    while data[at]:
        if data[at] < 0xC0:
            at += 1 + data[at]
        else:
            to = (data[at] & 0x3F) << 8 | data[at + 1]
            if to >= least:
                raise ValueError("a name points ahead")
            if to in known:
                steps += known[to]
                break
            at = least = to
            passed[to] = steps
        steps += 1
        if steps > _MOST_PARTS:
            raise ValueError("a name has too many parts")
    known.update((to, steps - before) for to, before in passed.items())
    return steps
