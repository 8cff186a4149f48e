"""Messages: what counts of them, and that none does harm."""

from __future__ import annotations

import sys
from typing import Any

import dns.flags
import dns.message
import pytest
from support.liar import answer

from aconnect import DnsResolver
from aconnect.resolvers.dns.wire import AAAA, A, Question, Reply, encode, read, require, type_name

require()
NAME = "a.test"
ASKED = encode(Question(NAME, A), 0x1234, edns=True)
SOA = "test. 300 SOA ns.test. root.test. 1 2 3 4 60"


def said(*records: str, to: int = A, **options: Any) -> Any:
    question = Question(NAME, to)
    asked = encode(question, 0x1234, edns=True)
    return read(answer(asked, *records, **options), asked, question)


class TestQuestion:
    def test_with_edns(self) -> None:
        message = dns.message.from_wire(ASKED)
        assert message.id == 0x1234
        assert message.flags == dns.flags.RD
        assert (message.edns, message.payload, message.options) == (0, 1232, ())
        assert [str(each) for each in message.question] == ["a.test. IN A"]

    def test_without(self) -> None:
        asked = encode(Question(NAME, AAAA), 1, edns=False, authentic=True)
        message = dns.message.from_wire(asked)
        assert message.edns == -1
        assert message.flags == dns.flags.RD | dns.flags.AD


class TestAnswer:
    def test_addresses_and_the_least_ttl(self) -> None:
        reply = said("a.test 60 A 192.0.2.1", "a.test 50 A 192.0.2.2", "a.test 60 A 192.0.2.1")
        assert set(reply.addresses) == {"192.0.2.1", "192.0.2.2"}
        assert len(reply.addresses) == 2
        assert reply == Reply(0, addresses=reply.addresses, ttl=50)

    def test_ttls_are_days_not_years(self) -> None:
        assert said(f"a.test {2**31 - 1} A 192.0.2.1").ttl == 86400

    def test_a_chain_of_aliases(self) -> None:
        reply = said("A.TEST 60 CNAME b.test.", "b.test 20 CNAME c.test.", "c.test 60 A 192.0.2.1")
        assert reply.addresses == ("192.0.2.1",)
        assert reply.ttl == 20

    def test_what_is_not_on_the_chain_does_not_count(self) -> None:
        reply = said(
            "a.test 60 CNAME b.test.",
            "b.test 60 A 192.0.2.1",
            "evil.test 60 A 192.0.2.6",
            "a.test 60 AAAA 2001:db8::1",
            authority=["b.test 60 A 192.0.2.7"],
            additional=["b.test 60 A 192.0.2.8"],
        )
        assert reply.addresses == ("192.0.2.1",)

    def test_a_chain_that_ends_elsewhere(self) -> None:
        reply = said("a.test 30 CNAME B.Test.")
        assert (reply.leads_to, reply.ttl, reply.addresses) == ("b.test", 30, ())

    def test_a_chain_that_is_known_to_end_in_nothing(self) -> None:
        reply = said("a.test 70 CNAME b.test.", authority=[SOA])
        assert (reply.leads_to, reply.negative_ttl) == ("", 60)
        reply = said("a.test 70 CNAME b.test.", authority=[SOA], rcode="NXDOMAIN")
        assert (reply.leads_to, reply.rcode, reply.negative_ttl) == ("", 3, 60)

    @pytest.mark.parametrize(
        ("zone", "rcode", "leads_to", "ttls"),
        [
            ("b.other", "NOERROR", "", (30, 60)),
            (".", "NXDOMAIN", "", (30, 60)),
            ("test", "NOERROR", "b.other", (None, None)),  # a zone that knows nothing of it
            ("test", "NXDOMAIN", "", (30, None)),
            ("a.b.other", "NXDOMAIN", "", (30, None)),
        ],
    )
    def test_its_end_is_in_the_zone_that_says_so(
        self, zone: str, rcode: str, leads_to: str, ttls: Any
    ) -> None:
        soa = SOA.replace("test.", f"{zone.strip('.')}.", 1)
        reply = said("a.test 30 CNAME b.other.", authority=[soa], rcode=rcode)
        assert reply.leads_to == leads_to
        assert (reply.negative_ttl, reply.owner_negative_ttl) == ttls

    @pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
    def test_that_is_known_for_as_long_as_the_chain_is_good(self, rcode: str) -> None:
        chain = "a.test 30 CNAME b.test.", "b.test 5 CNAME c.test."
        reply = said(*chain, authority=[SOA], rcode=rcode)
        assert (reply.leads_to, reply.negative_ttl) == ("", 5)
        assert said(*chain, rcode="NXDOMAIN").negative_ttl is None

    @pytest.mark.parametrize("links", [2, 17])
    def test_a_chain_in_a_circle_or_too_long(self, links: int) -> None:
        names = [NAME, *(f"n{each}.test" for each in range(1, links))]
        if links == 2:
            names.append(NAME)
        pairs = zip(names, [*names[1:], "end.test"], strict=True)
        chain = [f"{name} 30 CNAME {to}." for name, to in pairs]
        assert said(*chain[:-1] if links == 2 else chain).problem == (
            "answered, but its aliases lead in a circle"
        )

    def test_nobodys_addresses_and_mapped_ones(self) -> None:
        assert said("a.test 60 A 0.0.0.0").nobody
        assert said("a.test 60 AAAA ::", to=AAAA).nobody
        reply = said("a.test 60 AAAA ::ffff:192.0.2.1", "a.test 60 AAAA 2001:db8::1", to=AAAA)
        assert set(reply.addresses) == {"192.0.2.1", "2001:db8::1"}

    @pytest.mark.parametrize(
        ("soa", "ttl"),
        [
            (SOA, 60),
            ("test. 30 SOA ns.test. root.test. 1 2 3 4 60", 30),
            ("test. 86400 SOA ns.test. root.test. 1 2 3 4 86400", 3600),
        ],
    )
    def test_negative_answers(self, soa: str, ttl: int) -> None:
        assert said(authority=[soa]).negative_ttl == ttl
        assert said(authority=["test. 60 NS ns.test.", soa], rcode="NXDOMAIN").negative_ttl == ttl

    def test_one_that_is_lame(self) -> None:
        assert said(without=["RA"]).lame
        assert not said().lame
        assert not said(without=["RA"], flags=["AA"]).lame
        assert not said(without=["RA"], rcode="NXDOMAIN").lame

    def test_truncated(self) -> None:
        reply = said("a.test 60 A 192.0.2.1", flags=["TC"])
        assert (reply.truncated, reply.addresses) == (True, ())

    def test_more_than_there_is_room_for(self) -> None:
        records = [f"a.test 60 A 10.0.{each // 256}.{each % 256}" for each in range(1, 301)]
        reply = said(*records)
        assert (len(reply.addresses), reply.left_out) == (256, 44)

    def test_codes(self) -> None:
        assert said(rcode="SERVFAIL").rcode_name == "SERVFAIL"
        assert said(rcode="REFUSED").rcode == 5


GOOD = answer(ASKED, "a.test 60 CNAME b.test.", "b.test 60 A 192.0.2.1", authority=[SOA])
OURS = Question(NAME, A)


class TestIgnored:
    @pytest.mark.parametrize(
        "message",
        [
            b"",
            GOOD[:11],
            b"\0\1" + GOOD[2:],
            GOOD[:2] + bytes([GOOD[2] & 0x7F]) + GOOD[3:],  # a question
            GOOD[:2] + bytes([GOOD[2] | 0x10]) + GOOD[3:],  # of another kind
            GOOD[:4] + b"\0\0" + GOOD[6:],
            GOOD[:4] + b"\0\2" + GOOD[6:],
            GOOD.replace(b"\1a\4test", b"\1x\4test"),
            GOOD.replace(b"\4test\0\0\1\0\1", b"\4test\0\0\x1c\0\1"),
            GOOD.replace(b"\4test\0\0\1\0\1", b"\4test\0\0\1\0\3"),
        ],
    )
    def test_what_does_not_answer_the_question(self, message: bytes) -> None:
        assert read(message, ASKED, OURS) is None

    def test_a_name_with_an_octet_that_is_0(self) -> None:
        question = Question("a\\000b.test", A)
        asked = encode(question, 1, edns=False)
        said = answer(asked, "a\\000b.test 60 A 192.0.2.1")
        reply = read(said, asked, question)
        assert reply is not None
        assert reply.addresses == ("192.0.2.1",)
        other = said.replace(b"\4test\0\0\1\0\1", b"\4test\0\0\x1c\0\1", 1)
        assert other != said
        assert read(other, asked, question) is None

    def test_in_whatever_case(self) -> None:
        reply = read(GOOD.replace(b"\1a\4test\0\0", b"\1A\4tEsT\0\0", 1), ASKED, OURS)
        assert reply is not None
        assert reply.addresses == ("192.0.2.1",)

    def test_a_refusal_need_not_have_the_question(self) -> None:
        header = ASKED[:2] + b"\x80\x05" + b"\0" * 8
        reply = read(header, ASKED, OURS)
        assert reply is not None
        assert reply.rcode == 5
        assert read(ASKED[:2] + b"\x80\x00" + b"\0" * 8, ASKED, OURS) is None


def test_no_message_raises() -> None:
    """Each prefix of an answer, and each bit of it the other way round."""
    for end in range(len(GOOD)):
        read(GOOD[:end], ASKED, OURS)
    for bit in range(len(GOOD) * 8):
        flipped = bytearray(GOOD)
        flipped[bit // 8] ^= 1 << bit % 8
        read(bytes(flipped), ASKED, OURS)


def test_one_that_makes_no_sense() -> None:
    reply = read(GOOD[:-3], ASKED, OURS)
    assert reply is not None
    assert reply.problem == "sent an answer that makes no sense"


def test_without_dnspython_the_extra_is_named(monkeypatch: Any) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "dns"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"aconnect-io\[dns\]"):
        DnsResolver()


@pytest.mark.parametrize(
    ("before", "used", "left_out"),
    [(0, 256, 44), (1022, 1, 299), (1023, 0, 300), (2000, 0, 1277)],
)
def test_of_very_many_records_some_are_left_out(before: int, used: int, left_out: int) -> None:
    """What comes behind the first 1024 does not count, and is not looked at."""
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x0e"  # to b.test
    address = b"\1b\xc0\x0e\0\1\0\1\0\0\0\x3c\0\4\x0a\0"
    nobodys = b"\0\0\2\0\1\0\0\0\0\0\1\0"  # NS, of the root
    records = alias + nobodys * before
    records += b"".join(address + each.to_bytes(2, "big") for each in range(1, 301))
    counts = (1).to_bytes(2, "big") + (1 + before + 300).to_bytes(2, "big") + bytes(4)
    end = ASKED.index(0, 12) + 5
    message = ASKED[:2] + b"\x81\x80" + counts + ASKED[12:end] + records
    reply = read(message + b"\xff" * bool(before), ASKED, OURS)
    assert reply is not None
    assert (len(reply.addresses), reply.problem) == (used, "")
    assert reply.left_out == left_out


@pytest.mark.parametrize("count", [65, 1024, 1025, 2000])
def test_d12_of_very_many_records_of_a_service_some_are_kept(count: int) -> None:
    query = encode(Question(NAME, 65), 1, edns=False)
    records = b"".join(
        b"\xc0\x0c\0\x41\0\1\0\0\0\x3c\0\3" + (count - each).to_bytes(2, "big") + b"\0"
        for each in range(count)
    )
    header = query[:2] + b"\x81\x80" + b"\0\1" + count.to_bytes(2, "big") + bytes(4)
    reply = read(header + query[12:] + records, query, Question(NAME, 65))
    assert reply is not None
    assert (len(reply.records), reply.left_out) == (64, count - 64)
    least = 1 + max(0, count - 1024)  # of those that are looked at
    assert {each.priority for each in reply.records} == {*range(least, least + 64)}


def test_types_have_their_names() -> None:
    require()
    assert [type_name(each) for each in (1, 28, 33, 64, 65)] == [
        "A",
        "AAAA",
        "SRV",
        "SVCB",
        "HTTPS",
    ]
