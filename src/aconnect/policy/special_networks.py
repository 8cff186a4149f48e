"""Which networks are public, and where IPv4 addresses hide in IPv6.

Rules:

* What is public is looked up in the tables below, never in the standard library's, which
  differ from one Python to the next (3.11.7, 3.12.1 and 3.13 do).  The most specific row
  decides; "not applicable" in a registry counts as no.
* An address that is in no table is not public.
* Every IPv4 address that can be recognised in an IPv6 address is found, whether or not
  anybody translates it.  What follows from that is the policies' business.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190; as of
October 2025), the IANA IPv6 Address Space registry (RFC 4291 section 2.4), RFC 5771.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAPPED",
    "MAPPED_PREFIX",
    "REACHABLE",
    "SPECIAL_NETWORKS",
    "Lookup",
    "SpecialNetwork",
    "hidden",
]


class SpecialNetwork(NamedTuple):
    """A row of the tables: a network, and whether it can be reached from everywhere."""

    network: str
    name: str
    reachable: bool
    source: str


SPECIAL_NETWORKS: Final = tuple(
    SpecialNetwork(*row)
    for row in (
        ("0.0.0.0/0", "all of IPv4", True, "RFC 791"),
        ("0.0.0.0/8", "this network; 0.0.0.0 is this host", False, "RFC 1122"),
        ("10.0.0.0/8", "private use", False, "RFC 1918"),
        ("100.64.0.0/10", "shared address space", False, "RFC 6598"),
        ("127.0.0.0/8", "loopback", False, "RFC 1122"),
        ("169.254.0.0/16", "link-local", False, "RFC 3927"),
        ("172.16.0.0/12", "private use", False, "RFC 1918"),
        ("192.0.0.0/24", "IETF protocol assignments", False, "RFC 6890"),
        ("192.0.0.9/32", "port control protocol anycast", True, "RFC 7723"),
        ("192.0.0.10/32", "TURN anycast", True, "RFC 8155"),
        ("192.0.2.0/24", "documentation", False, "RFC 5737"),
        ("192.88.99.0/24", "6to4 relay anycast, deprecated", False, "RFC 7526"),
        ("192.168.0.0/16", "private use", False, "RFC 1918"),
        ("198.18.0.0/15", "benchmarking", False, "RFC 2544"),
        ("198.51.100.0/24", "documentation", False, "RFC 5737"),
        ("203.0.113.0/24", "documentation", False, "RFC 5737"),
        ("224.0.0.0/4", "multicast", False, "RFC 5771"),
        ("240.0.0.0/4", "reserved; 255.255.255.255 is broadcast", False, "RFC 1112, RFC 919"),
        # Only 2000::/3 is global unicast; all else is refused unless a row says otherwise.
        # That takes care of ::, ::1, ::/96, ::ffff:0:0:0/96, 64:ff9b:1::/48, 100::/64,
        # 100:0:0:1::/64, 5f00::/16, fc00::/7, fe80::/10, fec0::/10 and ff00::/8 too.
        ("::/0", "not global unicast", False, "RFC 4291"),
        ("2000::/3", "global unicast", True, "RFC 4291"),
        ("64:ff9b::/96", "NAT64; judged by the IPv4 address too", True, "RFC 6052"),
        ("2001::/23", "IETF protocol assignments; Teredo", False, "RFC 2928, RFC 4380"),
        ("2001:1::1/128", "port control protocol anycast", True, "RFC 7723"),
        ("2001:1::2/128", "TURN anycast", True, "RFC 8155"),
        ("2001:1::3/128", "DNS-SD service registration anycast", True, "RFC 9665"),
        ("2001:3::/32", "automatic multicast tunnelling", True, "RFC 7450"),
        ("2001:4:112::/48", "AS112", True, "RFC 7535"),
        ("2001:20::/28", "ORCHIDv2", True, "RFC 7343"),
        ("2001:30::/28", "drone remote identification", True, "RFC 9374"),
        ("2001:db8::/32", "documentation", False, "RFC 3849"),
        ("2002::/16", "6to4", False, "RFC 3056"),
        ("3fff::/20", "documentation", False, "RFC 9637"),
    )
)
"""What is globally reachable.  The most specific row that has an address decides.

Left out are rows that would say what the row around them says.
"""

MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""The IPv4-mapped IPv6 addresses, RFC 4291."""

MAPPED_PREFIX: Final = MAPPED.network_address.packed[:12]
"""What the addresses of `MAPPED` begin with: the IPv4 address is what follows."""

# IPv4-compatible, SIIT, NAT64: the IPv4 address is what follows these 96 bits.
_TRANSLATED: Final = frozenset(
    IPv6Address(prefix).packed[:12] for prefix in ("::", "::ffff:0:0:0", "64:ff9b::")
)
_LOCAL_NAT64: Final = IPv6Address("64:ff9b:1::").packed[:6]
_SIX_TO_FOUR: Final = IPv6Address("2002::").packed[:2]
_TEREDO: Final = IPv6Address("2001::").packed[:4]
_ISATAP: Final = (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe")


def hidden(number: int) -> list[int]:
    """The IPv4 addresses that can be recognised in an IPv6 address that is not mapped."""
    packed = number.to_bytes(16, "big")
    found = []
    if packed[:12] in _TRANSLATED or packed[8:12] in _ISATAP:
        found.append(packed[12:])
    if packed.startswith(_SIX_TO_FOUR):
        found.append(packed[2:6])
    elif packed.startswith(_TEREDO):
        found += [packed[4:8], bytes(byte ^ 0xFF for byte in packed[12:])]
    elif packed.startswith(_LOCAL_NAT64):
        # RFC 6052 section 2.2, prefixes of 48, 56, 64 and 96 bits; octet 8 is skipped.
        found += [packed[6:8] + packed[9:11], packed[7:8] + packed[9:12]]
        found += [packed[9:13], packed[12:]]
    return [int.from_bytes(each, "big") for each in found]


class Lookup:
    """Networks to look addresses up in: one step for each length of prefix."""

    __slots__ = ("_by_version",)

    def __init__(self, rows: Iterable[tuple[IPv4Network | IPv6Network, bool]]) -> None:
        by_version: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for network, value in rows:
            shift = network.max_prefixlen - network.prefixlen
            prefixes = by_version[network.version].setdefault(shift, {})
            prefixes[int(network.network_address) >> shift] = value
        # The most specific first.
        self._by_version = {
            version: tuple(sorted(by_shift.items(), key=lambda item: item[0]))
            for version, by_shift in by_version.items()
        }

    def find(self, version: int, number: int) -> bool:
        """The value of the most specific network with this address; False if none has it."""
        for shift, prefixes in self._by_version[version]:
            value = prefixes.get(number >> shift)
            if value is not None:
                return value
        return False


REACHABLE: Final = Lookup((ip_network(row.network), row.reachable) for row in SPECIAL_NETWORKS)
"""The networks of `SPECIAL_NETWORKS`, and whether they can be reached from everywhere."""
