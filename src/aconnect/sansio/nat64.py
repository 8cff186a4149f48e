"""IPv4 addresses in IPv6 addresses, for networks that have NAT64.  Pure.

Rules:

* A prefix has 32, 40, 48, 56, 64 or 96 bits.  The IPv4 address follows it, but for the octet of
  bits 64 to 71, which is 0.
* ``ipv4only.arpa`` has the IPv4 addresses 192.0.0.170 and 192.0.0.171.  If there are IPv6
  addresses of it, a DNS64 has made them: what is around either of those is the prefix.  One of
  zeros alone is none: loopback would be under it.
* Some IPv4 addresses are nobody's behind a translator: they are not translated; and under the
  well-known prefix, no private ones.

Sources: RFC 6052, sections 2.2 and 3.1; RFC 7050, section 3; RFC 6890.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LENGTHS", "Prefix", "parse_prefix", "prefixes_in"]

LENGTHS: Final = (96, 64, 56, 48, 40, 32)
_WELL_KNOWN: Final = socket.inet_pton(socket.AF_INET6, "64:ff9b::")[:12]
_WELL_KNOWN_IPV4: Final = (b"\xc0\x00\x00\xaa", b"\xc0\x00\x00\xab")
_NOBODYS: Final = (("0.0.0.0", 8), ("127.0.0.0", 8), ("169.254.0.0", 16), ("255.255.255.255", 32))
_PRIVATE: Final = (("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16), ("100.64.0.0", 10))
_ZERO: Final = 8  # the octet that is 0


def _octets(length: int) -> tuple[int, ...]:
    """Where the octets of the IPv4 address are, behind a prefix."""
    first = length // 8
    return tuple([each for each in range(first, 16) if each != _ZERO][:4])


class Prefix(NamedTuple):
    """The prefix of a translator.

    Attributes:
        network: its octets.
        length: how many bits it has.
    """

    network: bytes
    length: int

    def __str__(self) -> str:
        padded = self.network + bytes(16 - len(self.network))
        return f"{socket.inet_ntop(socket.AF_INET6, padded)}/{self.length}"

    def embed(self, ipv4: str) -> str:
        """The IPv6 address of an IPv4 address."""
        address = bytearray(self.network + bytes(16 - len(self.network)))
        places, octets = _octets(self.length), socket.inet_pton(socket.AF_INET, ipv4)
        for place, octet in zip(places, octets, strict=True):
            address[place] = octet
        return socket.inet_ntop(socket.AF_INET6, bytes(address))

    def extract(self, ipv6: str) -> str | None:
        """The IPv4 address that an IPv6 address stands for; None if it is not under the prefix."""
        address = socket.inet_pton(socket.AF_INET6, ipv6)
        if not address.startswith(self.network) or (self.length < 96 and address[_ZERO]):
            return None
        octets = bytes(address[each] for each in _octets(self.length))
        return socket.inet_ntop(socket.AF_INET, octets)

    def translates(self, ipv4: str) -> bool:
        """Whether anybody can be behind an IPv4 address, by way of the translator."""
        private = _PRIVATE if self.network == _WELL_KNOWN else ()
        return not any(_is_in(ipv4, *each) for each in (*_NOBODYS, *private))


def _is_in(ipv4: str, network: str, length: int) -> bool:
    numbers = [
        int.from_bytes(socket.inet_pton(socket.AF_INET, each), "big") for each in (ipv4, network)
    ]
    return numbers[0] >> (32 - length) == numbers[1] >> (32 - length)


def parse_prefix(text: str) -> Prefix:
    """A prefix as text, such as ``"2001:db8:64::/96"``.

    Raises:
        ValueError: it is none.
    """
    host, _, length = text.partition("/")
    try:
        address = socket.inet_pton(socket.AF_INET6, host)
    except (OSError, ValueError):
        address = b""
    bits = int(length) if length.isascii() and length.isdecimal() and len(length) < 4 else 0
    if not address or bits not in LENGTHS or any(address[bits // 8 :]) or address[_ZERO]:
        lengths = ", ".join(map(str, sorted(LENGTHS)))
        raise ValueError(f"not a NAT64 prefix, of {lengths} bits and 0 from there on: {text!r}")
    return Prefix(address[: bits // 8], bits)


def prefixes_in(addresses: Iterable[str]) -> tuple[Prefix, ...]:
    """The prefixes that the IPv6 addresses of ``ipv4only.arpa`` have, in their order."""
    found: dict[Prefix, None] = {}
    for text in addresses:
        if ":" not in text:  # it was IPv4-mapped
            continue
        address = socket.inet_pton(socket.AF_INET6, text)
        for length in LENGTHS:
            octets = bytes(address[each] for each in _octets(length))
            if octets in _WELL_KNOWN_IPV4 and (length == 96 or not address[_ZERO]):
                network = address[: length // 8]
                if any(network):
                    found[Prefix(network, length)] = None
                break
    return tuple(found)
