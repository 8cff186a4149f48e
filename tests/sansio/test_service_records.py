"""Records that say where a service is: every vector of RFC 9460, and the draw of RFC 2782."""

from __future__ import annotations

from contextlib import suppress
from math import sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aconnect.sansio.service_records import (
    Malformed,
    ServiceRecord,
    SRVRecord,
    drawn,
    grouped,
    limited,
    read_svcb,
    unusable,
)

FOO = "03666f6f076578616d706c6503636f6d00"  # foo.example.com
FOO_ORG = "03666f6f076578616d706c65036f726700"  # foo.example.org

VECTORS: list[tuple[str, str, ServiceRecord]] = [
    ("D.1 alias", "0000" + FOO, ServiceRecord(0, "foo.example.com")),
    ("D.2 figure 3: the owner's name", "000100", ServiceRecord(1)),
    (
        "D.2 figure 4: a port",
        "0010" + FOO + "000300020035",
        ServiceRecord(16, "foo.example.com", port=53),
    ),
    (
        "D.2 figure 5: a generic key",
        "0001" + FOO + "029b000568656c6c6f",
        ServiceRecord(1, "foo.example.com"),
    ),
    (
        "D.2 figure 6: a generic key with an octet that is none of ASCII",
        "0001" + FOO + "029b000968656c6c6fd2716f6f",
        ServiceRecord(1, "foo.example.com"),
    ),
    (
        "D.2 figure 7: two hints of IPv6",
        "0001"
        + FOO
        + "0006002020010db8000000000000000000000001"
        + "20010db8000000000000000000530001",
        ServiceRecord(1, "foo.example.com", ipv6=("2001:db8::1", "2001:db8::53:1")),
    ),
    (
        "D.2 figure 8: a hint of IPv6 with IPv4 in it",
        "0001076578616d706c6503636f6d00"
        + "0006001020010db8012203440000000000000000"[:8]
        + "20010db80122034400000000c0000221",
        ServiceRecord(1, "example.com", ipv6=("2001:db8:122:344::c000:221",)),
    ),
    (
        "D.2 figure 9: keys in order, some of which are mandatory",
        "0010" + FOO_ORG + "0000000400010004" + "000100090268320568332d3139" + "00040004c0000201",
        ServiceRecord(
            16,
            "foo.example.org",
            alpn=("h2", "h3-19"),
            ipv4=("192.0.2.1",),
            mandatory=frozenset({1, 4}),
        ),
    ),
    (
        "D.2 figure 10: a protocol with a comma and a backslash in it",
        "0010" + FOO_ORG + "0001000c08665c6f6f2c626172026832",
        ServiceRecord(16, "foo.example.org", alpn=("f\\\\oo,bar", "h2")),
    ),
]


@pytest.mark.parametrize(("words", "octets", "record"), VECTORS, ids=[v[0] for v in VECTORS])
def test_s2_what_appendix_d_has_for_good(words: str, octets: str, record: ServiceRecord) -> None:
    assert read_svcb(bytes.fromhex(octets)) == record


HEAD = "0001" + FOO
BAD: list[tuple[str, str, str]] = [
    ("D.3 figure 11: a key twice", HEAD + "029b0003616263" + "029b0003646566", "ascend"),
    ("D.3 figure 12: mandatory without a value", HEAD + "00000000", "empty"),
    ("D.3 figure 12: alpn without a value", HEAD + "00010000", "empty"),
    ("D.3 figure 12: port without a value", HEAD + "00030000", "port"),
    ("D.3 figure 12: ipv4hint without a value", HEAD + "00040000", "hints"),
    ("D.3 figure 12: ipv6hint without a value", HEAD + "00060000", "hints"),
    (
        "D.3 figure 13: no-default-alpn with a value",
        HEAD + "00010003026832" + "00020003616263",
        "value",
    ),
    (
        "D.3 figure 14: a key that is mandatory is missing",
        HEAD + "000000020 7b".replace(" ", "") + "",
        "missing",
    ),
    ("D.3 figure 15: mandatory in itself", HEAD + "000000020000", "invalid"),
    (
        "D.3 figure 16: a key twice in mandatory",
        HEAD + "000000040 07b007b".replace(" ", "") + "007b0003616263",
        "invalid",
    ),
    (
        "mandatory that does not ascend",
        HEAD + "0000000400040001" + "00010003026832" + "000400040a000001",
        "invalid",
    ),
    ("mandatory cut", HEAD + "0000000100", "cut"),
    ("keys that do not ascend", HEAD + "000300020035" + "00010003026832", "ascend"),
    ("a protocol without a name", HEAD + "000100020 000".replace(" ", ""), "protocols"),
    ("a protocol that is cut", HEAD + "000100020568", "protocols"),
    ("a hint that is cut", HEAD + "00040003c00002", "hints"),
    ("a port of three octets", HEAD + "00030003000035", "port"),
    ("ech that is empty", HEAD + "00050000", "ech"),
    ("a parameter that is cut", HEAD + "0003", "cut"),
    ("a parameter whose value is cut", HEAD + "000300020", "cut"),
    ("nothing", "", "cut"),
    ("no target", "0001", "cut"),
    ("a target that is cut", "000103666f", "invalid"),
    ("a target without an end", "000103666f6f", "cut"),
    ("a target that is compressed", "0001c00c", "invalid"),
    ("a target of 256 octets", "0001" + ("3f" + "61" * 63) * 4 + "00", "too long"),
    ("octets behind an alias's target are its parameters, and not looked at", "", "cut"),
]
BAD = [
    (words, octets if len(octets) % 2 == 0 else octets + "0", what)
    for words, octets, what in BAD[:-1]
]


@pytest.mark.parametrize(("words", "octets", "what"), BAD, ids=[each[0] for each in BAD])
def test_s2_what_spoils_a_set(words: str, octets: str, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        read_svcb(bytes.fromhex(octets))


def test_s3_the_parameters_of_an_alias_are_not_looked_at() -> None:
    alias = bytes.fromhex("0000" + FOO + "00000000ff")
    assert read_svcb(alias) == ServiceRecord(0, "foo.example.com")


def test_names_are_lowered_and_escaped() -> None:
    record = read_svcb(b"\0\1" + b"\7A.b@\\ \xff" + b"\0")
    assert record.target == "a\\.b\\@\\\\\\032\\255"
    assert read_svcb(b"\0\1\0" + b"\0\1\0\3\2\x0a\xff").alpn == ("\\n\\xff",)


def test_what_a_record_may_hold_besides() -> None:
    octets = HEAD + "000100060568332d3239" + "00020000" + "0003000201bb" + "00050003" + "616263"
    record = read_svcb(bytes.fromhex(octets))
    assert record.no_default_alpn
    assert (record.ech, record.port) == (b"abc", 443)


def parameter(key: int, value: bytes) -> bytes:
    return key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(("count", "left_out"), [(64, 0), (65, 1), (32767, 32703)])
def test_d12_of_very_many_protocols_some_are_read(count: int, left_out: int) -> None:
    octets = b"\0\1\0" + parameter(1, b"\1x" * count)
    record = read_svcb(octets)
    assert (record.alpn, record.left_out) == (("x",) * 64, left_out)
    for last in (b"\0x", b"\2x"):
        with pytest.raises(Malformed):
            read_svcb(octets[:-2] + last)  # all are looked at


@pytest.mark.parametrize(("count", "left_out"), [(256, 0), (257, 1), (4095, 3839)])
def test_d12_of_very_many_hints_some_are_read(count: int, left_out: int) -> None:
    v4 = b"".join(b"\x0a\0" + each.to_bytes(2, "big") for each in range(count))
    v6 = b"".join(b"\xfd" + bytes(13) + each.to_bytes(2, "big") for each in range(count))
    record = read_svcb(b"\0\1\0" + parameter(4, v4))
    assert (len(record.ipv4), record.left_out) == (256, left_out)
    record = read_svcb(b"\0\1\0" + parameter(6, v6))
    assert (len(record.ipv6), record.left_out) == (256, left_out)
    assert record.ipv6[-1] == "fd00::ff"


def test_d12_of_very_many_records_those_of_the_lowest_priorities_are_kept() -> None:
    records = [SRVRecord(70 - each, 0, each, "t.test") for each in range(70)]
    kept, left_out = limited(records)
    assert {each.priority for each in kept} == {*range(1, 65)}
    assert left_out == 6


def test_d12_all_records_have_so_many_hints() -> None:
    def record(priority: int, of_ipv4: int, of_ipv6: int, left_out: int = 0) -> ServiceRecord:
        ipv4 = tuple(f"10.0.{priority}.{each}" for each in range(of_ipv4))
        ipv6 = tuple(f"fd00::{priority}:{each}" for each in range(of_ipv6))
        return ServiceRecord(priority, ipv4=ipv4, ipv6=ipv6, left_out=left_out)

    given = [record(1, 200, 3), record(2, 100, 254, 7), record(3, 1, 1)]
    kept, left_out = limited(given)
    assert [(len(each.ipv4), len(each.ipv6)) for each in kept] == [(200, 3), (56, 253), (0, 0)]
    assert kept[1].ipv4 == given[1].ipv4[:56]
    assert left_out == 7 + 44 + 1 + 1 + 1
    assert limited(given[:1]) == (tuple(given[:1]), 0)


@given(st.binary(max_size=80))
def test_x4_any_octets_are_a_record_or_malformed(octets: bytes) -> None:
    with suppress(Malformed):
        record = read_svcb(octets)
        assert record.target.isascii()
        assert record.target.isprintable()


HTTPS = ("http/1.1",)


@pytest.mark.parametrize(
    ("record", "alpn", "words"),
    [
        (ServiceRecord(1), ("h2", "http/1.1"), ""),
        (ServiceRecord(1, alpn=("h2",)), ("h2", "http/1.1"), ""),
        (ServiceRecord(1, alpn=("h3",)), ("h2", "http/1.1"), ""),  # http/1.1 is there by default
        (ServiceRecord(1, alpn=("h3",), no_default_alpn=True), ("h2",), "nothing over TCP"),
        (ServiceRecord(1, alpn=("h3", "h3-29"), no_default_alpn=True), (), "nothing over TCP"),
        (ServiceRecord(1, alpn=("h2",), no_default_alpn=True), ("http/1.1",), "offers only h2"),
        (ServiceRecord(1, alpn=("h2",)), ("foo",), "offers only h2, http/1.1"),
        (ServiceRecord(1, alpn=("foo",), no_default_alpn=True), (), ""),
        (ServiceRecord(1, no_default_alpn=True), (), "no protocol at all"),
        (ServiceRecord(1, mandatory=frozenset({1, 3, 4, 6})), (), ""),
        (ServiceRecord(1, mandatory=frozenset({5})), (), "not supported: ech"),
        (ServiceRecord(1, mandatory=frozenset({7, 667})), (), "dohpath, key667"),
        (ServiceRecord(1, mandatory=frozenset(range(9, 999))), (), "key16 and 982 more"),
    ],
)
def test_s5_what_can_be_used(record: ServiceRecord, alpn: Any, words: str) -> None:
    said = unusable(record, alpn, HTTPS, "")
    assert words in said if words else said == ""


def test_s6_a_port_that_is_refused() -> None:
    assert unusable(ServiceRecord(1), (), HTTPS, "port 25") == "port 25"


def test_another_scheme_has_no_protocol_of_its_own() -> None:
    assert unusable(ServiceRecord(1), ("foo",), (), "") == ""


def order(groups: Any) -> list[list[str]]:
    return [sorted(each.target for each in group) for group in groups]


def test_s7_groups() -> None:
    records = [
        ServiceRecord(2, "b", alpn=("h2",)),
        ServiceRecord(1, "a"),
        ServiceRecord(1, "c", alpn=("h3",), ech=b"x"),
        ServiceRecord(3, "d", alpn=("h2", "h3")),
    ]
    assert order(grouped(records, (), Random(1))) == [["a", "c"], ["b"], ["d"]]
    assert order(grouped(records, (("h2",),), Random(1))) == [["b"], ["d"], ["a", "c"]]
    assert order(grouped(records, (("h3", "foo"),), Random(1))) == [["c"], ["d"], ["a"], ["b"]]
    assert order(grouped(records, ("ech", ("h2",)), Random(1))) == [["c"], ["b"], ["d"], ["a"]]


def test_s7_equals_are_shuffled() -> None:
    records = [ServiceRecord(1, name) for name in "abc"]
    random = Random(7)
    firsts = {grouped(records, (), random)[0][0].target for _ in range(100)}
    assert firsts == {"a", "b", "c"}


def test_v1_weights() -> None:
    """10:20:70, within three sigma of 10,000."""
    records = [SRVRecord(1, weight, 1, str(weight)) for weight in (70, 10, 20)]
    random, count = Random(20), dict.fromkeys(["70", "10", "20"], 0)
    for _ in range(10_000):
        ordered = drawn(records, random)
        assert sorted(ordered) == sorted(records)
        count[ordered[0].target] += 1
    for weight in (10, 20, 70):
        share = weight / 100
        sigma = sqrt(10_000 * share * (1 - share))
        assert abs(count[str(weight)] - 10_000 * share) < 3 * sigma


def test_v1_priorities_come_first() -> None:
    records = [SRVRecord(2, 0, 1, "late"), SRVRecord(1, 1, 1, "early"), SRVRecord(1, 0, 1, "zero")]
    for seed in range(30):
        ordered = [each.target for each in drawn(records, Random(seed))]
        assert ordered[2] == "late"
        assert sorted(ordered[:2]) == ["early", "zero"]


def test_v1_weight_0_has_a_small_chance() -> None:
    records = [SRVRecord(1, 9, 1, "nine"), SRVRecord(1, 0, 1, "zero")]
    random = Random(3)
    firsts = [drawn(records, random)[0].target for _ in range(1000)]
    assert 50 < firsts.count("zero") < 150
    assert [each.target for each in drawn(records[1:], Random(1))] == ["zero"]
