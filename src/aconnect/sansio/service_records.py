"""Records that say where a service is: what is in them, and in which order they count.  Pure.

Rules:

* A record of HTTPS or SVCB is read here, from its octets.  One that is malformed spoils all of its
  set: keys that do not ascend, a value of a wrong form, an empty list, what is cut or goes on.
* Of a record in alias mode (priority 0) the parameters are not looked at.
* Of one record 64 protocols and 256 hints of a family are read; of one answer 64 records, those of
  the lowest priorities, and 256 hints of a family.
* Records of SRV go by priority; of those with the same, one is drawn after the other, by weight.
* Records of SVCB go by what the caller prefers, then by priority; equal ones are shuffled.

Sources: RFC 9460 sections 2.2, 2.4, 7 and 8; RFC 2782.
"""

from __future__ import annotations

import socket
from itertools import accumulate
from struct import Struct, unpack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from .draws import Draws

__all__ = [
    "Malformed",
    "SRVRecord",
    "ServiceRecord",
    "drawn",
    "grouped",
    "limited",
    "read_svcb",
    "unusable",
    "usable_addresses",
]

MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, ECH, IPV6HINT = range(7)
_KNOWN: Final = {ALPN, NO_DEFAULT_ALPN, PORT, IPV4HINT, IPV6HINT}
"""What a record may require: ECH is no part of what can be done here."""
_MOST_RECORDS: Final = 64
_MOST_PROTOCOLS: Final = 64
_MOST_HINTS: Final = 256
_MOST_KEYS_SHOWN: Final = 8
_PARAMETER: Final = Struct("!HH")  # key, length
_KEYS: Final = {ECH: "ech", 7: "dohpath", 8: "ohttp"}
_HTTP3: Final = "h3"
_LONGEST_NAME: Final = 255
_NOBODY: Final = ("0.0.0.0", "::")  # to the kernel, this host
_MAPPED: Final = "::ffff:"


class Malformed(ValueError):
    """A record makes no sense."""


class SRVRecord(NamedTuple):
    """A record of SRV; the target in lower case, without a dot at the end, empty for none."""

    priority: int
    weight: int
    port: int
    target: str


class ServiceRecord(NamedTuple):
    """A record of HTTPS or SVCB.

    Attributes:
        priority: 0 for an alias; else the lowest is first.
        target: in lower case, without a dot at the end; empty for the record's own name.
        alpn: the protocols that it has beside the default one; what is not printable is escaped.
        no_default_alpn: whether the default one is not offered.
        port: None for that of the address.
        ech: as it came.
        ipv4, ipv6: hints that can be used.
        mandatory: keys without which it cannot be used.
        left_out: how many protocols and hints it has beyond those that are read.
    """

    priority: int
    target: str = ""
    alpn: tuple[str, ...] = ()
    no_default_alpn: bool = False
    port: int | None = None
    ech: bytes = b""
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    mandatory: frozenset[int] = frozenset()
    left_out: int = 0


def read_svcb(data: bytes) -> ServiceRecord:
    """A record of HTTPS or SVCB, from its octets.

    Raises:
        Malformed: it makes no sense.

    Source: RFC 9460 section 2.2.
    """
    if len(data) < 3:
        raise Malformed("it is cut short")
    priority = int.from_bytes(data[:2], "big")
    target, at = _name(data, 2)
    if priority == 0:
        return ServiceRecord(0, target)
    values: dict[int, bytes] = {}
    last = -1
    while at < len(data):
        if len(data) < at + 4:
            raise Malformed("a parameter is cut short")
        key, length = _PARAMETER.unpack_from(data, at)
        at += 4 + length
        if at > len(data):
            raise Malformed("a parameter is cut short")
        if key <= last:
            raise Malformed("its keys are not in ascending order")
        last = key
        values[key] = data[at - length : at]
    return _record(priority, target, values)


def _record(priority: int, target: str, values: dict[int, bytes]) -> ServiceRecord:
    mandatory = _numbers(values[MANDATORY]) if MANDATORY in values else []
    if MANDATORY in mandatory or sorted(set(mandatory)) != mandatory:
        raise Malformed("its list of mandatory keys is invalid")
    if not values.keys() >= {*mandatory}:
        raise Malformed("a mandatory key is missing")
    if values.get(NO_DEFAULT_ALPN):
        raise Malformed("no-default-alpn has a value")
    if PORT in values and len(values[PORT]) != 2:
        raise Malformed("its port is not two octets long")
    if ECH in values and not values[ECH]:
        raise Malformed("its ech is empty")
    alpn, more_alpn = _protocols(values[ALPN]) if ALPN in values else ((), 0)
    ipv4, more_ipv4 = _addresses(values, IPV4HINT, socket.AF_INET, 4)
    ipv6, more_ipv6 = _addresses(values, IPV6HINT, socket.AF_INET6, 16)
    return ServiceRecord(
        priority,
        target,
        alpn=alpn,
        no_default_alpn=NO_DEFAULT_ALPN in values,
        port=int.from_bytes(values[PORT], "big") if PORT in values else None,
        ech=values.get(ECH, b""),
        ipv4=ipv4,
        ipv6=ipv6,
        mandatory=frozenset(mandatory),
        left_out=more_alpn + more_ipv4 + more_ipv6,
    )


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name that is not compressed, and where it ends."""
    labels: list[str] = []
    begin = at
    while True:
        if at >= len(data):
            raise Malformed("the name of its target is cut short")
        length = data[at]
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(data):
            raise Malformed("the name of its target is invalid")
        labels.append(_label(data[at : at + length]))
        at += length
    if at - begin > _LONGEST_NAME:
        raise Malformed("the name of its target is too long")
    return ".".join(labels), at


def _label(octets: bytes) -> str:
    """As zone files have it (RFC 1035, section 5.1), in lower case."""
    text = ""
    for each in octets.lower():
        char = chr(each)
        if char in '."();@$\\':
            text += "\\" + char
        else:
            text += char if 0x20 < each < 0x7F else f"\\{each:03}"
    return text


def _numbers(value: bytes) -> list[int]:
    if not value or len(value) % 2:
        raise Malformed("its list of mandatory keys is empty or cut short")
    return [*unpack(f"!{len(value) // 2}H", value)]


def _protocols(value: bytes) -> tuple[tuple[str, ...], int]:
    """Those that are read, and how many more there are."""
    found: list[str] = []
    more = 0
    at = 0
    while at < len(value):
        begin, at = at + 1, at + 1 + value[at]
        if begin == at or at > len(value):
            raise Malformed("its list of protocols is invalid")
        if len(found) < _MOST_PROTOCOLS:
            each = value[begin:at].decode("latin-1")
            found.append(each.encode("unicode_escape").decode("ascii"))
        else:
            more += 1
    if not found:
        raise Malformed("its list of protocols is empty")
    return tuple(found), more


def _addresses(
    values: dict[int, bytes], key: int, family: int, size: int
) -> tuple[tuple[str, ...], int]:
    """Those that are used, and how many more there are."""
    if key not in values:
        return (), 0
    value = values[key]
    if not value or len(value) % size:
        raise Malformed("its list of hints is empty or cut short")
    places = range(0, len(value), size)
    used = places[:_MOST_HINTS]
    hints = usable_addresses(socket.inet_ntop(family, value[at : at + size]) for at in used)
    return hints, len(places) - len(used)


def limited(records: Sequence[Any]) -> tuple[tuple[Any, ...], int]:
    """The records of a service that are used, or told of, and how much is left out of them all:
    records, hints and protocols."""
    kept = records
    if len(records) > _MOST_RECORDS:
        kept = sorted(records, key=lambda each: each.priority)[:_MOST_RECORDS]
    left_out = len(records) - len(kept)
    within: list[Any] = []
    room4 = room6 = _MOST_HINTS
    for record in kept:
        if isinstance(record, ServiceRecord):
            ipv4, ipv6 = record.ipv4[:room4], record.ipv6[:room6]
            room4, room6 = room4 - len(ipv4), room6 - len(ipv6)
            left_out += record.left_out + len(record.ipv4[len(ipv4) :] + record.ipv6[len(ipv6) :])
            if (ipv4, ipv6) != (record.ipv4, record.ipv6):
                record = record._replace(ipv4=ipv4, ipv6=ipv6)
        within.append(record)
    return tuple(within), left_out


def usable_addresses(given: Iterable[str]) -> tuple[str, ...]:
    """What can be dialled of the addresses that a name server gives, without duplicates: not
    those of nobody, and IPv4-mapped ones as IPv4."""
    plain = dict.fromkeys(map(_plain, given))
    return tuple(each for each in plain if each not in _NOBODY)


def _plain(address: str) -> str:
    mapped = address.lower().removeprefix(_MAPPED)
    return mapped if "." in mapped else address


def unusable(
    record: ServiceRecord, alpn: Sequence[str], default: Sequence[str], port_refused: str
) -> str:
    """Why a record cannot be used; empty if it can.

    Args:
        alpn: the protocols that the caller speaks; none for any.
        default: what is spoken where the record does not say.
        port_refused: why its port may not be dialled; empty if it may.

    Source: RFC 9460 sections 7.1 and 8; draft-ietf-happy-happyeyeballs-v3, section 6.2.
    """
    unknown = sorted(record.mandatory - _KNOWN)
    if unknown:
        shown, more = unknown[:_MOST_KEYS_SHOWN], len(unknown[_MOST_KEYS_SHOWN:])
        names = ", ".join(_KEYS.get(each, f"key{each}") for each in shown)
        names += f" and {more} more" if more else ""
        return f"it requires keys that are not supported: {names}"
    if record.no_default_alpn and not record.alpn:
        return "it offers no protocol at all"
    offered = [*record.alpn, *(() if record.no_default_alpn else default)]
    over_tcp = [each for each in offered if each.partition("-")[0] != _HTTP3]
    if offered and not over_tcp:
        return "it offers nothing over TCP"
    if alpn and offered and not set(alpn) & set(over_tcp):
        return f"it offers only {', '.join(over_tcp)}"
    return port_refused


def grouped(
    records: Iterable[ServiceRecord], prefer: Sequence[Sequence[str] | str], random: Random | Draws
) -> list[list[ServiceRecord]]:
    """Records that can be used, in groups of the same rank, the best first.

    Args:
        prefer: protocols of which a record that offers any comes first, then those of the next;
            "ech" stands for those with a configuration for Encrypted Client Hello.
        random: shuffles those of a group.
    """
    groups: dict[tuple[int, int], list[ServiceRecord]] = {}
    for record in records:
        groups.setdefault((_preference(record, prefer), record.priority), []).append(record)
    for group in groups.values():
        random.shuffle(group)
    return [groups[key] for key in sorted(groups)]


def _preference(record: ServiceRecord, prefer: Sequence[Sequence[str] | str]) -> int:
    for place, wanted in enumerate(prefer):
        if record.ech if wanted == "ech" else set(wanted) & set(record.alpn):
            return place
    return len(prefer)


def drawn(records: Iterable[SRVRecord], random: Random | Draws) -> list[SRVRecord]:
    """Records in the order in which they are to be tried.

    Source: RFC 2782, "Usage rules": a number from 0 to the sum of the weights, and the first
    whose running sum is not less; those of weight 0 are first in the list.
    """
    left = sorted(records, key=lambda each: (each.priority, each.weight > 0))
    ordered: list[SRVRecord] = []
    while left:
        alike = [each for each in left if each.priority == left[0].priority]
        # From 0 on, those of weight 0 have their small chance, and no other has more than is due.
        least = 0 if alike[0].weight == 0 else 1
        number = random.randint(least, sum(each.weight for each in alike))
        sums = accumulate(each.weight for each in alike)
        chosen = next(each for each, total in zip(alike, sums, strict=True) if total >= number)
        ordered.append(chosen)
        left.remove(chosen)
    return ordered
