"""Names: which are DNS's, and what is asked of them.

Rules:

* ``localhost`` and what is below it is this machine.  ``invalid``, ``onion`` and ``alt`` are asked
  of nobody.  ``local`` is the system's, which may ask the neighbours.
* What ends in a number looks like an IPv4 address and is none: it is asked of nobody.
* A name of which no message can have the octets is asked of nobody either: that of a service is
  longer than its host's.
* A search list is gone through as resolv.conf(5) has it; a dot at the end says that there is none.

Sources: RFC 1035 section 2.3.4, RFC 6761, RFC 6762, RFC 7686, RFC 9476; the URL standard, "ends in
a number".
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..answers import Explained

if TYPE_CHECKING:
    from collections.abc import Collection

    from ...addresses.service_addresses import SRVAddress
    from ...addresses.values import TCPAddress, UDPAddress
    from .settings import Settings

__all__ = [
    "business_of",
    "candidates_of",
    "files_last",
    "is_loopback",
    "is_systems",
    "of_known_zones",
    "without_records",
    "words_of",
]

_LONGEST: Final = 253
_ESCAPED: Final = re.compile(r"\\(?:[0-9]{3}|.)")
"""An octet, as zone files have it."""
_DOTS: Final = (".", "\u3002", "\uff0e", "\uff61")
"""All that IDNA takes for a dot: RFC 3490, section 3.1."""
_NOBODYS: Final = {"invalid": "RFC 6761", "onion": "RFC 7686", "alt": "RFC 9476"}
_SPECIAL: Final = {
    "loopback": "names under .localhost are never looked up in DNS (RFC 6761)",
    "system": "names under .local are never looked up in DNS (RFC 6762)",
}
_UNDERSTOOD: Final = ("files", "dns", "resolve", "myhostname")
_GATEWAYS: Final = ("_gateway", "_outbound")


@lru_cache(256)
def business_of(name: str) -> str:
    """Whose business a name is: "loopback", "system", or why it is asked of nobody; empty for
    DNS's.

    Args:
        name: as `canonical` has it.
    """
    last = name.rpartition(".")[2]
    if last == "localhost":
        return "loopback"
    if last == "local":
        return "system"
    if last in _NOBODYS:
        return f"names under .{last} are never looked up in DNS ({_NOBODYS[last]})"
    if last.isdecimal() or (last.startswith("0x") and not last[2:].strip("0123456789abcdef")):
        return "it looks like an IPv4 address and is none"
    if len(name) > _LONGEST and len(_ESCAPED.sub(".", name)) > _LONGEST:
        return f"no name in DNS is longer than {_LONGEST} octets"
    return ""


def words_of(business: str) -> str:
    """Why a name with such a business is not asked for."""
    return _SPECIAL.get(business, business)


def is_systems(name: str, order: Collection[str]) -> str:
    """Why a name is the system's, by the sources of nsswitch.conf(5); empty if it is not.

    Args:
        order: the sources.
    """
    for each in order:
        if each not in _UNDERSTOOD and not each.startswith("mdns"):
            return f"nsswitch.conf lists the source {each!r}"
    if "dns" not in order and "resolve" not in order:
        return "nsswitch.conf does not list the source 'dns'"
    if "myhostname" in order and (name in _GATEWAYS or name == socket.gethostname().lower()):
        return "nsswitch.conf lists the source 'myhostname', which has this name"
    return ""


def files_last(order: Collection[str]) -> bool:
    """Whether the hosts file counts only where name servers know of no address.

    Args:
        order: the sources.
    """
    before = [each for each in order if each in ("files", "dns", "resolve")]
    return "files" in before and before[0] != "files"


def candidates_of(host: str, name: str, settings: Settings) -> list[str]:
    """The names to look up for a host, in their order.

    Args:
        host: as it was written: with a dot at the end, there is no search list.
        name: as `canonical` has it.
    """
    if host.endswith(_DOTS):
        return [name]
    searched = [f"{name}.{domain}" for domain in settings.search]
    searched = [each for each in searched if len(each) <= _LONGEST]
    return [name, *searched] if name.count(".") >= settings.ndots else [*searched, name]


def without_records(address: SRVAddress) -> TCPAddress | UDPAddress:
    """The domain itself, where nobody is asked for records.

    Raises:
        socket.gaierror: there is no port to fall back on.
    """
    if address.port is None:
        raise Explained(
            socket.EAI_NONAME, "its SRV records are not looked up in DNS, and it gives no port"
        )
    return address.at(address.host, address.port)


def of_known_zones(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses without those of an IPv6 zone that no interface of this machine is called; all of
    them if nothing is left."""
    zones = [each.partition("%")[2] for each in hosts]
    if not any(zones):
        return hosts
    interfaces = {name for _, name in socket.if_nameindex()}
    pairs = zip(hosts, zones, strict=True)
    known = [host for host, zone in pairs if not zone or zone.isdecimal() or zone in interfaces]
    return tuple(known) or hosts


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's to itself."""
    return host == "::1" or host.startswith("127.")
