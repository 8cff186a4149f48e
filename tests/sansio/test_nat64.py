"""IPv4 addresses in IPv6 addresses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aconnect.sansio.nat64 import LENGTHS, Prefix, parse_prefix, prefixes_in

# RFC 6052, section 2.4: 192.0.2.33 under a prefix of each length.
EXAMPLES = [
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), EXAMPLES)
def test_the_examples_of_rfc_6052(prefix: str, address: str) -> None:
    parsed = parse_prefix(prefix)
    assert str(parsed) == prefix
    made = parsed.embed("192.0.2.33")
    assert ipaddress.IPv6Address(made) == ipaddress.IPv6Address(address)
    assert parsed.extract(made) == "192.0.2.33"
    assert parsed.extract("2001:db9::1") is None


def test_an_octet_that_is_to_be_0_and_is_not() -> None:
    assert parse_prefix("2001:db8::/32").extract("2001:db8:c000:221:100::") is None


PREFIXES = st.builds(
    lambda length, octets: Prefix(
        bytes(0 if place == 8 else octet for place, octet in enumerate(octets[: length // 8])),
        length,
    ),
    st.sampled_from(LENGTHS),
    st.binary(min_size=16, max_size=16),
)


@settings(deadline=None)
@given(PREFIXES, st.ip_addresses(v=4).map(str))
def test_there_and_back(prefix: Prefix, ipv4: str) -> None:
    made = prefix.embed(ipv4)
    assert prefix.extract(made) == ipv4
    assert ipaddress.ip_address(made) in ipaddress.ip_network(str(prefix))
    assert parse_prefix(str(prefix)) == prefix


def test_a_prefix_of_zeros_is_none() -> None:
    """Or loopback would be under it."""
    assert prefixes_in(["::192.0.0.170", "0:0:0:c000:0:aa00::"]) == ()


def test_addresses_that_were_ipv4_mapped_have_no_prefix() -> None:
    assert prefixes_in(["192.0.0.170", "64:ff9b::192.0.0.171"]) == (parse_prefix("64:ff9b::/96"),)


@pytest.mark.parametrize("prefix", [each for each, _ in EXAMPLES])
def test_the_prefix_is_what_is_around_the_addresses_of_ipv4only(prefix: str) -> None:
    parsed = parse_prefix(prefix)
    both = [parsed.embed("192.0.0.170"), parsed.embed("192.0.0.171")]
    assert prefixes_in(both) == prefixes_in(both[1:]) == (parsed,)
    other = parse_prefix("2001:db8:64::/96")
    assert prefixes_in([other.embed("192.0.0.171"), *both])[0] == other


def test_addresses_that_nobody_has_made() -> None:
    assert prefixes_in([]) == prefixes_in(["2001:db8::1"]) == ()
    assert prefixes_in(["2001:db8:c000:aa:100::"]) == ()  # the octet is not 0


@pytest.mark.parametrize(
    ("ipv4", "under_its_own", "under_the_well_known"),
    [
        ("192.0.2.1", True, True),
        ("10.0.0.1", True, False),
        ("172.31.0.1", True, False),
        ("172.32.0.1", True, True),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("127.0.0.1", False, False),
        ("0.0.0.0", False, False),
        ("0.1.2.3", False, False),
        ("169.254.1.1", False, False),
        ("255.255.255.255", False, False),
        ("255.255.255.254", True, True),
    ],
)
def test_t2_what_is_translated(ipv4: str, under_its_own: bool, under_the_well_known: bool) -> None:
    assert parse_prefix("2001:db8:64::/96").translates(ipv4) == under_its_own
    assert parse_prefix("64:ff9b::/96").translates(ipv4) == under_the_well_known


@pytest.mark.parametrize(
    "text",
    [
        *("", "::", "64:ff9b::", "64:ff9b::/95", "64:ff9b::/0096", "64:ff9b::1/96"),
        *("192.0.2.0/96", "2001:db8::/x", "2001:db8::/²", "2001:db8:0:0:100::/96", "\0::/96"),
    ],
)
def test_what_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="not a NAT64 prefix, of 32, 40, 48, 56, 64, 96 bits"):
        parse_prefix(text)
