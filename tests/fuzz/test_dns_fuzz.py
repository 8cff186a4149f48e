"""Messages of name servers: whatever they are, reading them raises nothing and says what counts.

Each prefix and each bit of the vectors, and what hypothesis makes of them.
"""

from __future__ import annotations

from typing import Any

import pytest
from fuzz.names_target import check_reply
from hypothesis import given, settings
from hypothesis import strategies as st
from support.liar import answer

from aconnect.resolvers.dns.wire import AAAA, A, Question, encode, read, require
from aconnect.sansio.finding import HTTPS, SRV, SVCB

require()
pytestmark = pytest.mark.slow
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"
CHAIN = ("a.test 60 CNAME b.test.", "b.test 60 CNAME c.d.test.", "c.d.test 60 A 192.0.2.1")
VECTORS: list[tuple[int, tuple[str, ...], dict[str, Any]]] = [
    (A, ("a.test 60 A 192.0.2.1", "a.test 60 A 192.0.2.2"), {}),
    (AAAA, ("a.test 60 AAAA 2001:db8::1",), {"authority": ["test. 60 NS ns.test."]}),
    (A, CHAIN, {"additional": ["evil.test 60 A 192.0.2.6"]}),
    (A, (), {"authority": [SOA], "rcode": "NXDOMAIN"}),
    (A, (), {"rcode": "SERVFAIL"}),
    (HTTPS, ("a.test 60 CNAME b.test.", "b.test 60 HTTPS 1 . alpn=h2 port=8443"), {}),
    (SVCB, ("a.test 60 SVCB 1 b.test. ipv4hint=192.0.2.1",), {"additional": CHAIN[2:]}),
    (SRV, ("a.test 60 SRV 1 2 3 b.test.",), {"additional": ["b.test 60 A 192.0.2.1"]}),
]


def vector(number: int) -> tuple[bytes, bytes, Question]:
    """A message, the query that it answers, and what that asks."""
    type, records, options = VECTORS[number]
    question = Question("a.test", type)
    query = encode(question, 0x1234, edns=True)
    return answer(query, *records, **options), query, question


def check(message: bytes, query: bytes, question: Question) -> None:
    check_reply(read(message, query, question), question)


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_each_prefix_and_each_bit(number: int) -> None:
    message, query, question = vector(number)
    for end in range(len(message)):
        check(message[:end], query, question)
    for bit in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[bit // 8] ^= 1 << bit % 8
        check(bytes(flipped), query, question)


@settings(deadline=None)
@given(
    number=st.integers(0, len(VECTORS) - 1),
    edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 4), st.binary(max_size=4))),
)
def test_what_has_been_cut_and_filled(number: int, edits: Any) -> None:
    message, query, question = vector(number)
    for at, cut, filled in edits:
        message = message[:at] + filled + message[at + cut :]
    check(query[:2] + message[2:], query, question)


@settings(deadline=None)
@given(rest=st.binary(max_size=600), counts=st.lists(st.integers(0, 0xFFFF), max_size=3))
def test_anything_behind_our_question(rest: bytes, counts: list[int]) -> None:
    _, query, question = vector(0)
    end = query.index(0, 12) + 5
    numbers = b"".join(each.to_bytes(2, "big") for each in [*counts, 0, 0, 0][:3])
    check(query[:2] + b"\x81\x80\0\1" + numbers + query[12:end] + rest, query, question)
