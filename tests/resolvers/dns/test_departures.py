"""What is read here rather than by dnspython is what dnspython reads, but for what is listed.

Each bit of the vectors, and what hypothesis makes of them, read by both: the same answer, or both
refuse it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import dns.exception
import dns.message
import dns.rdata
import dns.version
import pytest
from fuzz.names_target import of_dnspython, svcb_record, theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from support.liar import answer

from aconnect.resolvers.dns import wire
from aconnect.resolvers.dns.records import records_of
from aconnect.resolvers.dns.wire import Question, encode, read, require
from aconnect.sansio.finding import HTTPS
from aconnect.sansio.service_records import ServiceRecord, read_svcb

require()
pytestmark = pytest.mark.skipif(
    (dns.version.MAJOR, dns.version.MINOR) < (2, 9),
    reason="dnspython reads the parameters of service records otherwise since 2.9",
)
QUESTION = Question("a.test", HTTPS)
QUERY = encode(QUESTION, 0x1234, edns=True)

TEXTS = (
    "1 s.test. alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1",
    "0 a.b.",
    "1 . no-default-alpn alpn=h2 mandatory=alpn",
    "2 x. key65400=abc",
    "16 foo. mandatory=alpn,ipv4hint alpn=h2 ipv4hint=192.0.2.1,192.0.2.2",
    "1 . mandatory=key667 key667=a port=5",
)
VECTORS = [dns.rdata.from_text("IN", "HTTPS", each).to_wire() for each in TEXTS]


@pytest.mark.parametrize("data", VECTORS, ids=TEXTS)
def test_each_prefix_and_each_bit_of_a_record(data: bytes) -> None:
    assert read_svcb(data) == theirs(data)
    for end in range(len(data)):
        svcb_record(data[:end])
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        svcb_record(bytes(flipped))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0\0\0\0\1\0\3\2h2", "parameters in AliasMode"),
        (b"\0\1\0\0\2\0\0", "no-default-alpn present, but alpn missing"),
        (b"\0\1\0\0\5\0\1\0", "invalid ECHConfigList"),
    ],
)
def test_each_departure_is_one(data: bytes, why: str) -> None:
    assert theirs(data) == why
    assert isinstance(read_svcb(data), ServiceRecord)


EDITS = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 4), st.binary(max_size=4)), max_size=4
)


def edited(data: bytes, edits: Any) -> bytes:
    for at, cut, filled in edits:
        data = data[:at] + filled + data[at + cut :]
    return data


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(data=st.sampled_from(VECTORS), edits=EDITS)
def test_records_that_have_been_cut_and_filled(data: bytes, edits: Any) -> None:
    svcb_record(edited(data, edits))


@pytest.mark.slow
@settings(deadline=None, max_examples=500)
@given(data=st.sampled_from(VECTORS), edits=EDITS, alias=st.booleans())
def test_messages_that_have_been_cut_and_filled(data: bytes, edits: Any, alias: bool) -> None:
    """Of a message with records that dnspython takes, all of it means the same."""
    records = ["a.test 60 CNAME b.test."] * alias
    owner = "b.test" if alias else "a.test"
    record = dns.rdata.from_wire("IN", "HTTPS", data, 0, len(data))
    records.append(f"{owner} 60 HTTPS {record.to_text()}")
    message = edited(answer(QUERY, *records, additional=["s.test 9 A 192.0.2.1"]), edits)
    message = QUERY[:2] + message[2:]
    reply = read(message, QUERY, QUESTION)
    if reply is None or reply.truncated or "circle" in reply.problem:
        return
    if reply.problem:
        with pytest.raises((dns.exception.DNSException, ValueError)):
            dns.message.from_wire(message)
        return
    for each in records_of(message, HTTPS, wire._name_at).records:
        if each.type == HTTPS:
            svcb_record(message[each.at : each.at + each.length])
    with suppress(dns.exception.DNSException):  # of which is one what it says of a record
        for rrset in dns.message.from_wire(message).answer:
            if rrset.rdtype == HTTPS and reply.records and named(rrset) == reply.owner:
                assert set(reply.records) == set(map(of_dnspython, rrset))


def named(rrset: Any) -> str:
    return wire._text(rrset.name)


@pytest.mark.parametrize("ttl", [2**31, 2**32 - 1])
@pytest.mark.parametrize(
    ("type", "records"),
    [
        (1, ["a.test 7 CNAME b.test.", "b.test 7 A 192.0.2.1"]),
        (1, []),
        (HTTPS, ["a.test 7 HTTPS 1 ."]),
    ],
)
def test_a_ttl_of_32_bits_is_large(ttl: int, type: int, records: list[str]) -> None:
    question = Question("a.test", type)
    query = encode(question, 0x1234, edns=True)
    soa = [] if records else ["test. 7 SOA ns.test. root.test. 1 2 3 4 60"]
    message = answer(query, *records, authority=soa).replace(b"\0\0\0\7", ttl.to_bytes(4, "big"))
    reply = read(message, query, question)
    assert reply is not None
    assert (reply.problem, reply.malformed) == ("", "")
    assert (reply.ttl if records else reply.negative_ttl) == (86400 if records else 60)
