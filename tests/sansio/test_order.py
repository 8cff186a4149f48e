"""The order of addresses: families in turn, and the rules of RFC 6724."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.virtual_race import family_of

from aconnect.addresses.values import Endpoint
from aconnect.sansio.order import (
    POLICY_TABLE,
    PolicyRow,
    interleave,
    sort_by_history,
    sort_by_rfc6724,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# --------------------------------------------------------------------------------- interleave


@pytest.mark.parametrize(
    ("addresses", "count", "expected"),
    [
        ("", 1, ""),
        ("", 2, ""),
        ("v6a", 1, "v6a"),
        ("v6a", 3, "v6a"),
        ("v6a v6b v6c", 1, "v6a v6b v6c"),
        ("v4a v4b", 2, "v4a v4b"),
        ("v6a v6b v6c v4a", 1, "v6a v4a v6b v6c"),
        ("v6a v6b v6c v4a", 2, "v6a v6b v4a v6c"),
        ("v6a v6b v6c v4a", 3, "v6a v6b v6c v4a"),
        ("v6a v6b v6c v4a", 9, "v6a v6b v6c v4a"),
        ("v6a v4a v4b v4c", 1, "v6a v4a v4b v4c"),
        ("v6a v4a v4b v4c", 2, "v6a v4a v4b v4c"),
        ("v4a v4b v6a v6b", 1, "v4a v6a v4b v6b"),
        ("v4a v6a v6b v4b", 1, "v4a v6a v4b v6b"),
        ("v6a v6b v4a v4b v6c v4c", 2, "v6a v6b v4a v6c v4b v4c"),
        ("v4b v4a v6b v6a", 1, "v4b v6b v4a v6a"),
        # more than two families
        ("xa v6a v4a xb v6b v4b", 1, "xa v6a v4a xb v6b v4b"),
        ("v6a v6b v6c xa v4a v4b", 1, "v6a xa v4a v6b v4b v6c"),
        ("v6a v6b v6c xa v4a v4b", 2, "v6a v6b xa v4a v6c v4b"),
        # duplicates
        ("v6a v6a v4a v6a", 1, "v6a v4a"),
        ("v6a v6b v6a v4a v4a v6c", 1, "v6a v4a v6b v6c"),
        ("v6a v6a v6b v4a", 2, "v6a v6b v4a"),
    ],
)
def test_o2_o3_families_take_turns(addresses: str, count: int, expected: str) -> None:
    assert interleave(addresses.split(), family_of, count) == expected.split()


def test_one_of_the_first_family_is_first_unless_told_otherwise() -> None:
    assert interleave(iter(["v6a", "v6b", "v4a"]), family_of) == ["v6a", "v4a", "v6b"]


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_is_first(count: int) -> None:
    message = f"^first_family_count must be at least 1, not {count}$"
    with pytest.raises(ValueError, match=message):
        interleave([], family_of, count)


ADDRESSES = st.lists(
    st.builds("{}{}".format, st.sampled_from(["v4", "v6", "x"]), st.sampled_from("abcdefgh"))
)


@given(ADDRESSES, st.integers(1, 5))
def test_nothing_is_lost_and_the_order_within_a_family_stays(
    addresses: list[str], count: int
) -> None:
    ordered = interleave(addresses, family_of, count)
    assert sorted(ordered) == sorted(set(addresses))
    for family in {family_of(address) for address in addresses}:
        before = [a for a in dict.fromkeys(addresses) if family_of(a) == family]
        assert [a for a in ordered if family_of(a) == family] == before
    if addresses:
        first = family_of(addresses[0])
        of_first = sum(family_of(a) == first for a in ordered)
        assert {family_of(a) for a in ordered[: min(count, of_first)]} == {first}


# ------------------------------------------------------------------------------------ RFC 6724


class Sorting(NamedTuple):
    """``rows`` has each destination with its source, in the order that is expected."""

    name: str
    rows: list[tuple[str, str | None]]
    table: tuple[PolicyRow, ...] = POLICY_TABLE


def with_precedence(prefix: str, precedence: int) -> tuple[PolicyRow, ...]:
    return tuple(
        row._replace(precedence=precedence) if row.prefix == prefix else row
        for row in POLICY_TABLE
    )


IPV4 = "::ffff:0:0/96"
# Where sites have a prefix each: section 10.4 and 10.5.
SITE = (*POLICY_TABLE, PolicyRow("2001:db8:70aa::/48", 45, 14))

SORTINGS = [
    # The examples of section 10.2, but for the two that need rules 3 and 4.
    Sorting(
        "10.2 prefer matching scope: IPv6",
        [("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "169.254.13.78")],
    ),
    Sorting(
        "10.2 prefer matching scope: IPv4",
        [("198.51.100.121", "198.51.100.117"), ("2001:db8:1::1", "fe80::1")],
    ),
    Sorting(
        "10.2 prefer higher precedence",
        [("2001:db8:1::1", "2001:db8:1::2"), ("10.1.2.3", "10.1.2.4")],
    ),
    Sorting(
        "10.2 prefer smaller scope",
        [("fe80::1", "fe80::2"), ("2001:db8:1::1", "2001:db8:1::2")],
    ),
    Sorting(
        "10.2 longest matching prefix",
        [("2001:db8:1::1", "2001:db8:1::2"), ("2001:db8:3ffe::1", "2001:db8:3f44::2")],
    ),
    Sorting(
        "10.2 prefer matching label",
        [
            ("2002:c633:6401::1", "2002:c633:6401::2"),
            ("2001:db8:1::1", "2002:c633:6401::2"),
        ],
    ),
    Sorting(
        "10.2 prefer higher precedence: 6to4 is the lower",
        [
            ("2001:db8:1::1", "2001:db8:1::2"),
            ("2002:c633:6401::1", "2002:c633:6401::2"),
        ],
    ),
    # Section 10.3: a table that prefers IPv4.
    Sorting(
        "10.3 IPv4 preferred, IPv6 of matching scope",
        [("2001:db8::1", "2001:db8::2"), ("198.51.100.121", "169.254.13.78")],
        with_precedence(IPV4, 100),
    ),
    Sorting(
        "10.3 IPv4 preferred, IPv4 of matching scope",
        [("198.51.100.121", "198.51.100.117"), ("2001:db8::1", "fe80::1")],
        with_precedence(IPV4, 100),
    ),
    Sorting(
        "10.3 IPv4 preferred",
        [("10.1.2.3", "10.1.2.4"), ("2001:db8::1", "2001:db8::2")],
        with_precedence(IPV4, 100),
    ),
    # Each rule for itself.
    Sorting(
        "2 a source that is loopback is of another scope",
        [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "::1")],
        (PolicyRow("::/0", 40, 1),),
    ),
    Sorting(
        "2 comes before 5",
        [("2001:db8::1", "2002:c633:6401::2"), ("192.0.2.1", "169.254.13.78")],
    ),
    Sorting(
        "8 loopback is of its own link",
        [("127.0.0.1", "127.0.0.1"), ("192.0.2.1", "192.0.2.9")],
    ),
    Sorting(
        "6 and 8 without any route",
        [("fe80::1", None), ("2001:db8::1", None), ("192.0.2.1", None)],
    ),
    Sorting("nothing", []),
    Sorting("one", [("192.0.2.1", None)]),
    Sorting("1 no route to IPv6", [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", None)]),
    Sorting("1 no route to IPv4", [("fe80::1", "2001:db8::9"), ("192.0.2.1", None)]),
    Sorting(
        "1 no route to several: the rules that need no source, and the order",
        [
            ("192.0.2.1", "192.0.2.9"),
            ("fe80::1", None),
            ("2001:db8:9::1", None),
            ("2001:db8:1::1", None),
            ("192.0.2.7", None),
            ("192.0.2.3", None),
        ],
    ),
    Sorting(
        "2 loopback is a scope of its own link",
        [("127.0.0.1", "127.0.0.1"), ("2001:db8::1", "::1")],
    ),
    Sorting(
        "2 a private IPv4 address is global",
        [("2001:db8::1", "2001:db8::2"), ("8.8.8.8", "192.168.1.2")],
    ),
    Sorting(
        "2 multicast says its scope: ff05 is site-local",
        [("ff05::1", "fec0::1"), ("ff02::1", "fec0::1")],
    ),
    Sorting(
        "5 a unique local source for a global address",
        [
            ("192.0.2.1", "192.0.2.9"),
            ("2001:db8::1", "fd00::1"),
        ],
    ),
    Sorting(
        "6 unique local is below IPv4",
        [
            ("192.0.2.1", "192.0.2.9"),
            ("fd00::1", "fd00::2"),
        ],
    ),
    Sorting(
        "6 Teredo is below IPv4",
        [
            ("192.0.2.1", "192.0.2.9"),
            ("2001::1", "2001::2"),
        ],
    ),
    Sorting(
        "6 loopback is above all",
        [
            ("::1", "::1"),
            ("2001:db8::1", "2001:db8::2"),
            ("127.0.0.1", "127.0.0.1"),
        ],
    ),
    Sorting(
        "6 the longest prefix of the table counts",
        [
            ("2001:db8::1", "2001:db8::2"),
            ("2001::1", "2001::2"),
            ("3ffe::1", "3ffe::2"),
        ],
    ),
    Sorting(
        "6 a prefix of one's own",
        [
            ("2001:db8:70aa::1", "2001:db8:70aa::2"),
            ("2001:db8::1", "2001:db8::2"),
        ],
        SITE,
    ),
    Sorting(
        "6 the order of the table does not matter",
        [
            ("2001:db8:70aa::1", "2001:db8:70aa::2"),
            ("2001:db8::1", "2001:db8::2"),
        ],
        SITE[::-1],
    ),
    Sorting(
        "8 the smaller scope: IPv4",
        [
            ("169.254.1.1", "169.254.1.2"),
            ("192.0.2.1", "192.0.2.9"),
        ],
    ),
    Sorting(
        "8 link-local, global",
        [
            ("fe80::1%eth0", "fe80::2%eth0"),
            ("2001:db8::1", "2001:db8::2"),
        ],
    ),
    Sorting(
        "8 link-local, site-local, global",
        [
            ("ff02::1", "fe80::1"),
            ("ff05::1", "fec0::1"),
            ("ff0e::1", "2001:db8::1"),
        ],
        (PolicyRow("::/0", 40, 1),),
    ),
    Sorting(
        "9 three prefixes",
        [
            ("2001:db8:0:1::1", "2001:db8:0:1::9"),
            ("2001:db8:0:2::1", "2001:db8:0:1::9"),
            ("2600::1", "2001:db8:0:1::9"),
        ],
    ),
    Sorting(
        "9 an IPv4 address that is mapped is IPv4",
        [
            ("::ffff:203.0.113.1", "192.0.2.9"),
            ("192.0.2.1", "192.0.2.9"),
        ],
    ),
    Sorting(
        "10 the order stays: the interface's half is not the prefix",
        [
            ("2001:db8::ff", "2001:db8::2"),
            ("2001:db8::3", "2001:db8::2"),
        ],
    ),
    Sorting(
        "10 the order stays: no rule 9 for IPv4",
        [
            ("203.0.113.1", "192.0.2.9"),
            ("192.0.2.1", "192.0.2.9"),
        ],
    ),
    Sorting("10 duplicates stay", [("192.0.2.1", "192.0.2.9"), ("192.0.2.1", "192.0.2.9")]),
]


@pytest.mark.parametrize("sorting", SORTINGS, ids=[sorting.name for sorting in SORTINGS])
def test_o1_the_rules_of_rfc_6724(sorting: Sorting) -> None:
    expected = [to for to, _ in sorting.rows]
    sources = dict(sorting.rows)
    assert sort_by_rfc6724(expected, sources.__getitem__, sorting.table) == expected
    by_rule_10 = sorting.name.startswith(("10 ", "9 an", "1 no route to several"))
    if not by_rule_10:
        for other in (expected[::-1], sorted(expected)):
            assert sort_by_rfc6724(other, sources.__getitem__, sorting.table) == expected


def test_the_policy_table_is_that_of_the_rfc() -> None:
    table = """
        ::1/128        50  0
        ::/0           40  1
        ::ffff:0:0/96  35  4
        2002::/16      30  2
        2001::/32       5  5
        fc00::/7        3 13
        ::/96           1  3
        fec0::/10       1 11
        3ffe::/16       1 12
    """
    rows = [line.split() for line in table.strip().splitlines()]
    assert list(POLICY_TABLE) == [(prefix, int(row), int(label)) for prefix, row, label in rows]


def test_rule_9_leaves_the_places_of_ipv4_alone() -> None:
    """A table that ranks both alike: the rule decides between IPv6 addresses, no others."""
    table = [PolicyRow("::/0", 40, 1)]
    source = {":": "2001:db8:0:1::9", ".": "192.0.2.9"}
    ordered = sort_by_rfc6724(
        ["2600::1", "203.0.113.1", "2001:db8:0:1::1", "192.0.2.1", "2001:db8::1"],
        lambda address: source[":" if ":" in address else "."],
        table,
    )
    assert ordered == ["2001:db8:0:1::1", "203.0.113.1", "2001:db8::1", "192.0.2.1", "2600::1"]


def test_endpoints_are_sorted_by_their_hosts() -> None:
    def endpoint(host: str, scope: int = 0) -> Endpoint:
        if ":" in host:
            return Endpoint(AF_INET6, SOCK_STREAM, IPPROTO_TCP, (host, 80, 0, scope))
        return Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, (host, 80))

    v4, far, near = endpoint("192.0.2.1"), endpoint("2600::1"), endpoint("fe80::1", 2)
    asked = []

    def source_of(endpoint: Endpoint) -> str | None:
        asked.append(endpoint)
        return {v4: "192.0.2.9", far: "2001:db8::9", near: "fe80::9"}[endpoint]

    ordered = sort_by_rfc6724([v4, far, near], source_of, host_of=lambda e: e.sockaddr[0])
    assert ordered == [near, far, v4]
    assert asked == [v4, far, near]


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4%5", "::g", "\0", "1.2.3.é"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an IPv4 or IPv6 address: ") as caught:
        sort_by_rfc6724([text], lambda _: None)
    assert str(caught.value).endswith(repr(text))
    with pytest.raises(ValueError, match=r"^not an IPv4 or IPv6 address: "):
        sort_by_rfc6724(["::1"], lambda _: text)


def test_a_table_with_a_gap() -> None:
    table = [PolicyRow("2001:db8::/32", 40, 1)]
    message = "^policy_table has no row for every address: one must have the prefix ::/0$"
    with pytest.raises(ValueError, match=message):
        sort_by_rfc6724(["192.0.2.1"], lambda _: None, table)


HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.sampled_from(["::1", "fe80::1", "2002::1", "fd00::1", "10.0.0.1", "ff02::1"]),
)


@given(st.dictionaries(HOSTS, st.one_of(st.none(), HOSTS)))
def test_any_addresses_have_one_order_but_for_rule_10(
    sources: dict[str, str | None],
) -> None:
    ordered = sort_by_rfc6724(sources, sources.__getitem__)
    assert sorted(ordered) == sorted(sources)
    assert sort_by_rfc6724(ordered, sources.__getitem__) == ordered
    reachable = [sources[address] is not None for address in ordered]
    assert reachable == sorted(reachable, reverse=True)


# ----------------------------------------------------------------------------------- history


def places_by(*known: str) -> Callable[[list[str]], list[int]]:
    return lambda group: [known.index(each) if each in known else len(known) for each in group]


def test_h3_history_counts_between_rules_8_and_9() -> None:
    near, far, v4 = "2001:db8::1", "2001:db9::1", "192.0.2.1"
    sources = {near: "2001:db8::2", far: "2001:db8::2", v4: "192.0.2.2"}
    addresses = [v4, far, near]
    assert sort_by_rfc6724(addresses, sources.get) == [near, far, v4]
    for known, expected in (
        ([], [near, far, v4]),
        ([far], [far, near, v4]),  # against rule 9
        ([v4], [near, far, v4]),  # not against rule 6
    ):
        places = places_by(*known)
        assert sort_by_rfc6724(addresses, sources.get, places_of=places) == expected


def test_what_is_sorted_changes_places_with_neighbours_that_are_alike() -> None:
    a, b, c, v4 = "2001:db8::a", "2001:db8::b", "2001:db8::c", "192.0.2.1"
    sources = {a: "2001:db8::2", b: "2001:db8::2", c: "2001:db8::2", v4: "192.0.2.2"}
    for given_order, known, expected in (
        ([a, b, v4, c], [c, b], [b, a, v4, c]),
        ([v4, a, b], [b], [v4, b, a]),  # somebody prefers IPv4
        ([b, a], [], [b, a]),
        ([], [], []),
    ):
        assert sort_by_history(given_order, sources.get, places_by(*known)) == expected
