"""The plainest answer is read without dnspython, and means the same to both."""

from __future__ import annotations

import socket
from typing import Any

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.liar import answer

from aconnect.resolvers.dns import wire
from aconnect.resolvers.dns.plain import plain_records
from aconnect.resolvers.dns.wire import AAAA, A, Question, encode, require
from aconnect.sansio.finding import HTTPS

require()
NAME = "a.test"
SIZES = {A: 4, AAAA: 16}
FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}
OF_TYPE = {
    A: ("a.test 60 A 192.0.2.1", "a.test 60 A 192.0.2.2"),
    AAAA: ("a.test 60 AAAA 2001:db8::1", "a.test 60 AAAA ::ffff:192.0.2.2"),
    HTTPS: (
        "a.test 60 HTTPS 1 . alpn=h2 port=8443",
        "a.test 60 HTTPS 2 s.test. ipv4hint=192.0.2.1",
    ),
}


def asked(type: int, edns: bool = True) -> bytes:
    return encode(Question(NAME, type), 0x1234, edns=edns)


def plain(message: bytes, type: int, query: bytes) -> Any:
    return plain_records(message, query.index(0, 12) + 5, type, SIZES.get(type))


def agree(message: bytes, type: int, query: bytes) -> bool:
    """Whether the message is read here; it means then what it means to who reads any."""
    found = plain(message, type, query)
    if message[:2] != query[:2] or found is None:
        return False
    question = Question(NAME, type)
    reply = wire.read(message, query, question)
    if type != HTTPS:  # of which it refuses some
        dns.message.from_wire(message)
    theirs, _ = wire._read(message, int.from_bytes(message[2:4], "big"), question)
    if type == HTTPS and reply is not None:  # of those that are malformed, which is told of first
        assert bool(reply.malformed) == bool(theirs.malformed)
        assert set(reply.records) == set(theirs.records)
        reply = reply._replace(records=theirs.records, malformed=theirs.malformed)
    assert reply == theirs
    return True


@pytest.mark.parametrize("type", [A, AAAA])
@pytest.mark.parametrize("edns", [True, False])
def test_what_is_read_here(type: int, edns: bool) -> None:
    query = asked(type, edns)
    message = answer(query, *OF_TYPE[type])
    found = plain(message, type, query)
    assert found is not None
    texts = {socket.inet_ntop(FAMILIES[type], each) for each in found[0]}
    assert texts == {each.split()[-1] for each in OF_TYPE[type]}
    assert found[1] == 60
    assert agree(message, type, query)


@pytest.mark.parametrize(("ttl", "kept"), [(0, 0), (60, 60), (2**31, 86400), (2**32 - 1, 86400)])
def test_a_ttl_of_32_bits_is_large(ttl: int, kept: int) -> None:
    message = bytearray(answer(asked(A), "a.test 7 A 192.0.2.1"))
    at = message.index(b"\0\0\0\7\0\4")
    message[at : at + 4] = ttl.to_bytes(4, "big")
    reply = wire.read(bytes(message), asked(A), Question(NAME, A))
    assert reply is not None
    assert reply.ttl == kept


@pytest.mark.parametrize(
    ("records", "options"),
    [
        ([], {}),
        (["a.test 60 A 192.0.2.1"], {"authority": ["test. 60 NS ns.test."]}),
        (["a.test 60 A 192.0.2.1"], {"additional": ["b.test 60 A 192.0.2.6"]}),
        (["a.test 60 A 192.0.2.1"], {"rcode": "NXDOMAIN"}),
        (["a.test 60 A 192.0.2.1"], {"flags": ["TC"]}),
        (["a.test 60 CNAME b.test.", "b.test 60 A 192.0.2.1"], {}),
        (["a.test 60 AAAA 2001:db8::1"], {}),
    ],
)
def test_what_is_left_to_dnspython(records: list[str], options: Any) -> None:
    assert plain(answer(asked(A), *records, **options), A, asked(A)) is None


def test_d12_very_many_records_are_left_to_dnspython() -> None:
    message = bytearray(answer(asked(A, False), "a.test 60 A 192.0.2.1"))
    message[6:8] = (1024).to_bytes(2, "big")
    message += message[-16:] * 1023
    assert plain(bytes(message), A, asked(A, False)) is not None
    message[6:8] = (1025).to_bytes(2, "big")
    assert plain(bytes(message + message[-16:]), A, asked(A, False)) is None


def test_options_are_left_to_dnspython() -> None:
    message = answer(asked(A), *OF_TYPE[A])
    assert plain(message[:-2] + b"\0\4\0\x0c\0\0", A, asked(A)) is None  # padding, of RFC 7830
    assert plain(message[:-10] + b"\xff" + message[-9:], A, asked(A)) is None


@pytest.mark.parametrize("type", [A, AAAA, HTTPS])
def test_each_prefix_and_each_bit_the_other_way_round(type: int) -> None:
    query = asked(type)
    message = answer(query, *OF_TYPE[type])
    assert not any(agree(message[:end], type, query) for end in range(12, len(message)))
    assert not agree(message + b"\0", type, query)
    end = query.index(0, 12) + 5
    read = 0
    for bit in [*range(16, 12 * 8), *range(end * 8, len(message) * 8)]:
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        read += agree(bytes(flipped), type, query)
    assert read > 2 * 8 * 4  # in the TTLs and the addresses at least


@settings(deadline=None)
@given(
    type=st.sampled_from([A, AAAA]),
    addresses=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16))),
    edns=st.booleans(),
    flags=st.integers(0, 0xFFFF),
)
def test_any_addresses(type: int, addresses: Any, edns: bool, flags: int) -> None:
    query = asked(type, edns)
    size = {A: 4, AAAA: 16}[type]
    counts = (1).to_bytes(2, "big") + len(addresses).to_bytes(2, "big") + query[8:12]
    records = [
        b"\xc0\x0c"
        + type.to_bytes(2, "big")
        + b"\0\1"
        + ttl.to_bytes(4, "big")
        + size.to_bytes(2, "big")
        + address[:size]
        for ttl, address in addresses
    ]
    end = query.index(0, 12) + 5
    for given_flags in (flags, 0x8180):
        message = query[:2] + given_flags.to_bytes(2, "big") + counts + query[12:end]
        message += b"".join(records) + query[end:]
        assert agree(message, type, query) == (
            bool(addresses) and not (given_flags ^ 0x8000) & 0xFA0F
        )


def test_what_is_no_address_is_dnspythons() -> None:
    https = Question(NAME, 65)
    query = encode(https, 0x1234, edns=True)
    reply = wire.read(answer(query), query, https)
    assert reply == wire.Reply(0, owner=NAME)
