"""The records of a message that count: as dnspython reads them, and in no time."""

from __future__ import annotations

import time
from struct import pack
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.liar import answer

from aconnect.resolvers.dns import records as module
from aconnect.resolvers.dns import wire
from aconnect.resolvers.dns.records import (
    ADDITIONAL,
    ANSWER,
    AUTHORITY,
    CNAME,
    SOA,
    minimum_of,
    records_of,
)
from aconnect.resolvers.dns.wire import AAAA, A, Question, encode, read, require
from aconnect.sansio.finding import HTTPS, SRV

require()
NAME = "a.test"
SOA_RECORD = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"


def asked(type: int) -> bytes:
    return encode(Question(NAME, type), 0x1234, edns=True)


def message_of(type: int, *counts: int, records: bytes) -> bytes:
    query = asked(type)
    end = query.index(0, 12) + 5
    return query[:2] + pack("!5H", 0x8180, 1, *counts) + query[12:end] + records


def found(message: bytes, type: int) -> list[tuple[int, str, int, int, bytes]]:
    return [
        (each.section, str(each.owner), each.type, each.ttl, message[each.at :][: each.length])
        for each in records_of(message, type, wire._name_at).records
    ]


# ------------------------------------------------------------------------------ what counts


ANSWERS = [
    "a.test 60 CNAME b.test.",
    "b.test 50 A 192.0.2.1",
    "b.test 40 AAAA 2001:db8::1",
    "b.test 30 HTTPS 1 s.test. alpn=h2",
    "b.test 20 SRV 1 2 3 s.test.",
    "b.test 10 TXT x",
]
BESIDES: Any = {
    "authority": ["test. 9 NS ns.test.", SOA_RECORD],
    "additional": ["s.test 8 A 192.0.2.2", "s.test 7 AAAA 2001:db8::2", "s.test 6 TXT y"],
}


@pytest.mark.parametrize("type", [A, AAAA, HTTPS, SRV])
def test_what_counts(type: int) -> None:
    message = answer(asked(type), *ANSWERS, **BESIDES)
    kinds = [(section, kind) for section, _, kind, _, _ in found(message, type)]
    expected = [(ANSWER, CNAME), (ANSWER, type), (AUTHORITY, SOA)]
    if type in (HTTPS, SRV):
        expected += [(ADDITIONAL, A), (ADDITIONAL, AAAA)]
    assert kinds == expected


def test_of_another_class_nothing_counts() -> None:
    message = answer(asked(A), "a.test 60 A 192.0.2.1")
    at = message.rindex(b"\0\1\0\1\0\0\0\x3c")
    assert len(found(message, A)) == 1
    for group in (0, 3, 254, 255, 0xFFFF):
        changed = message[: at + 2] + pack("!H", group) + message[at + 4 :]
        assert found(changed, A) == []
        reply = read(changed, asked(A), Question(NAME, A))
        assert reply is not None
        assert (reply.addresses, reply.problem) == ((), "")


@pytest.mark.parametrize("kind", [2, 16, 250, 0xFFF0, 0xFFFF])
def test_what_does_not_count_is_not_read(kind: int) -> None:
    """Nor is a module imported for a type of a stranger's choice."""
    nonsense = b"\xc0\x0c" + pack("!HHIH", kind, 1, 60, 3) + b"\xff\xff\xff"
    good = b"\xc0\x0c" + pack("!HHIH", A, 1, 60, 4) + b"\xc0\0\2\1"
    before = {*dns.rdata._rdata_classes}  # type: ignore[attr-defined]
    reply = read(
        message_of(A, 2, 1, 1, records=nonsense + good + nonsense * 2), asked(A), Question(NAME, A)
    )
    assert reply is not None
    assert (reply.addresses, reply.problem) == (("192.0.2.1",), "")
    assert {*dns.rdata._rdata_classes} == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rcode", "code"), [("BADVERS", 16), ("BADCOOKIE", 23)])
def test_the_upper_bits_of_the_response_code(rcode: str, code: int) -> None:
    query = asked(A)
    reply = read(answer(query, rcode=rcode), query, Question(NAME, A))
    assert reply is not None
    assert (reply.rcode, reply.rcode_name) == (code, rcode)


@pytest.mark.parametrize("code", [12, 15, 0xFFF])
def test_a_response_code_that_nobody_knows(code: int) -> None:
    opt = b"\0" + pack("!HHIH", 41, 1232, code >> 4 << 24, 0)
    message = bytearray(message_of(A, 0, 0, 1, records=opt))
    message[3] |= code & 0xF
    reply = read(bytes(message), asked(A), Question(NAME, A))
    assert reply is not None
    assert (reply.rcode, reply.rcode_name) == (code, str(code))


# -------------------------------------------------------------------- as dnspython reads it


def rdata_of(message: bytes, record: module.Record) -> Any:
    return dns.rdata.from_wire(1, record.type, message, record.at, record.length)


def spelled(section: int, owner: Any, kind: int, rdata: Any) -> tuple[int, str, int, bytes]:
    """A record, in whatever case it is."""
    return section, str(owner).lower(), kind, rdata.to_wire().lower()


def theirs(message: bytes, type: int) -> set[tuple[int, str, int, bytes]]:
    """What dnspython's own reader has of what counts, without TTLs, which it makes one."""
    of: set[tuple[int, str, int, bytes]] = set()
    read_by_them = dns.message.from_wire(message)
    for section, rrsets in enumerate(read_by_them.sections[1:]):
        for rrset in rrsets:
            kind = int(rrset.rdtype)
            counts = (kind in (type, CNAME) if section == ANSWER else kind == SOA) or (
                section == ADDITIONAL and kind in (A, AAAA) and type in (SRV, HTTPS)
            )
            if section == ADDITIONAL and kind == SOA:
                counts = False
            if rrset.rdclass == 1 and counts:
                of |= {spelled(section, rrset.name, kind, each) for each in rrset}
    return of


EDITS = st.lists(
    st.tuples(st.integers(12, 250), st.integers(0, 4), st.binary(max_size=4)), max_size=3
)


@settings(deadline=None)
@given(type=st.sampled_from([A, AAAA, SRV]), edits=EDITS, some=st.integers(0, 63))
def test_any_message_that_dnspython_takes(type: int, edits: Any, some: int) -> None:
    records = [each for bit, each in enumerate(ANSWERS) if some >> bit & 1]
    message = answer(asked(type), *records, **BESIDES)
    for at, cut, filled in edits:
        message = message[:at] + filled + message[at + cut :]
    try:
        expected = theirs(message, type)
    except (dns.exception.DNSException, ValueError):
        return
    by_us = records_of(message, type, wire._name_at).records
    ours = {
        spelled(each.section, each.owner, each.type, rdata_of(message, each)) for each in by_us
    }
    of_one = [each.type for each in by_us if each.type in (CNAME, SOA)]
    if len(of_one) == len({*of_one}):  # or it keeps one of them, for each name
        assert ours == expected


# ------------------------------------------------------------------------ bounds, and names


def deep(labels: int) -> bytes:
    return b"\1a" * labels + b"\0"


def pointing(to: int) -> bytes:
    return pack("!H", 0xC000 | to)


START = len(message_of(A, 0, 0, 0, records=b""))
A_RECORD = pack("!HHIH", A, 1, 60, 4) + b"\xc0\0\2\1"
HOSTILE = {
    "addresses of a long name": deep(120) + A_RECORD + (pointing(START) + A_RECORD) * 1023,
    "aliases to a long name": deep(120)
    + A_RECORD
    + b"".join(
        b"\2" + pack("!H", 0x6161 + each) + pointing(START + 16)
        + pack("!HHIH", CNAME, 1, 60, 2) + pointing(START)
        for each in range(1023)
    ),
    "many long names": deep(120)
    + A_RECORD
    + b"".join(
        b"\4%04d" % each + pointing(START + 16) + A_RECORD for each in range(1023)
    ),
    "pointers to pointers": b"\0" + pack("!HHIH", 16, 1, 60, 6000)
    + pointing(12) + b"".join(pointing(START + 11 + 2 * each) for each in range(2999))
    + b"".join(pointing(START + 11 + 2 * 100) + A_RECORD for _ in range(1023)),
    "text in many pieces": b"\xc0\x0c" + pack("!HHIH", 16, 1, 60, 60000) + bytes(60000),
    "a thousand of those": (b"\xc0\x0c" + pack("!HHIH", 16, 1, 60, 50) + bytes(50)) * 1024,
    "options": b"\0" + pack("!HHIH", 41, 1232, 0, 60000) + b"\0\x0c\0\0" * 15000,
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("type", [A, CNAME, SRV, HTTPS])
def test_x4_no_message_takes_long(what: str, type: int, monkeypatch: Any) -> None:
    """By what is read of names, which is what takes time."""
    names = 0
    from_wire = dns.name.from_wire

    def count(data: bytes, at: int) -> Any:
        nonlocal names
        name, used = from_wire(data, at)
        names += len(name.labels)
        return name, used

    monkeypatch.setattr("aconnect.resolvers.dns.wire.dns.name.from_wire", count)
    octets = HOSTILE[what]
    count = {"text in many pieces": 1, "options": 1}.get(what, 1024)
    sections = (0, 0, count) if what == "options" else (count, 0, 0)
    message = message_of(type, *sections, records=octets)
    assert len(message) < 65536
    began = time.process_time()
    reply = read(message, asked(type), Question(NAME, type))
    assert time.process_time() - began < 5  # where it had been seconds, or for ever
    assert reply is not None
    assert names <= module.MOST_STEPS


def test_what_is_left_out_of_those_is_counted() -> None:
    message = message_of(A, 1024, 0, 0, records=HOSTILE["many long names"])
    reply = read(message, asked(A), Question(NAME, A))
    assert reply is not None
    assert 900 < reply.left_out < 1024


@pytest.mark.parametrize(
    "name",
    [
        pointing(START),  # to itself
        pointing(START + 2),  # ahead
        b"\1a" + pointing(START),  # in a circle
        pointing(0x3FFF),
        b"\x40a\0",  # a type of label that is not in use
        b"\x80a\0",
        deep(128),  # too long
        deep(300),
        b"\x3f" + b"a" * 63,
    ],
)
def test_names_that_make_no_sense(name: bytes) -> None:
    message = message_of(A, 1, 0, 0, records=name + A_RECORD)
    reply = read(message, asked(A), Question(NAME, A))
    assert reply is not None
    assert reply.problem == "sent an answer that makes no sense"
    with pytest.raises((dns.exception.DNSException, ValueError)):
        dns.message.from_wire(message)


@pytest.mark.parametrize("counts", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 0, 0), (1, 1, 1)])
def test_counts_that_are_wrong(counts: Any) -> None:
    message = message_of(A, *counts, records=(b"\xc0\x0c" + A_RECORD) * 2)
    reply = read(message, asked(A), Question(NAME, A))
    assert reply is not None
    assert bool(reply.problem) == (sum(counts) != 2)


@pytest.mark.parametrize("minimum", [0, 60, 3601, 2**31, 2**32 - 1])
def test_the_minimum_of_an_soa(minimum: int) -> None:
    soa = SOA_RECORD.replace("4 60", f"4 {minimum}")
    [record] = records_of(answer(asked(A), authority=[soa]), A, wire._name_at).records
    message = answer(asked(A), authority=[soa])
    assert minimum_of(message, record) == minimum
    reply = read(message, asked(A), Question(NAME, A))
    assert reply is not None
    assert reply.negative_ttl == min(minimum, 300)


@pytest.mark.parametrize("length", [0, 1, 19, 20, 21, 23])
def test_an_soa_of_another_form(length: int) -> None:
    soa = b"\xc0\x0c" + pack("!HHIH", SOA, 1, 60, length) + bytes(length)
    reply = read(message_of(A, 0, 1, 0, records=soa), asked(A), Question(NAME, A))
    assert reply is not None
    assert reply.problem == "sent an answer that makes no sense"


def test_owners_are_told_apart_but_not_by_case() -> None:
    records = ["A.TEST 60 A 192.0.2.1", "b.test 60 A 192.0.2.66"]
    reply = read(answer(asked(A), *records), asked(A), Question(NAME, A))
    assert reply is not None
    assert reply.addresses == ("192.0.2.1",)
