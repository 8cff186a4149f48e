"""Targets: any text as an address, and any list as the results of getaddrinfo(3).

Rules:

* What the C library says of a literal address is asked for with AI_NUMERICHOST, which has it
  read the text and do nothing else.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fuzz.reader import Reader

from aconnect import Address, TCPAddress, UDPAddress, UnixAddress, VsockAddress, parse_address
from aconnect.addresses.literal import endpoints_of_results, zoned_endpoint
from aconnect.addresses.redacting import shown
from aconnect.addresses.text import format_sockaddr

if TYPE_CHECKING:
    from aconnect import Endpoint

__all__ = ["address", "results"]

_NUMERIC = socket.AI_NUMERICHOST | getattr(socket, "AI_NUMERICSERV", 0)

# What inet_aton(3) takes: up to four numbers, in octal and hexadecimal as well.
_NUMBER = "(?:0[xX][0-9a-fA-F]*|[0-9]+)"
_OLD_IPV4 = re.compile(rf"{_NUMBER}(\.{_NUMBER}){{0,3}}")


def address(data: bytes) -> None:
    """Any text is an address that survives its text, or a ValueError that shows it."""
    text = data.decode("utf-8", "surrogateescape")  # bytes of any path included
    try:
        parsed = parse_address(text)
    except ValueError as error:
        refusal = error
    else:
        _is_an_address(parsed, text)
        return
    assert type(refusal) is ValueError
    assert shown(text) in str(refusal)


def _is_an_address(parsed: Address, text: str) -> None:
    _survives_its_text(parsed)
    _is_what_its_values_make(parsed)
    if isinstance(parsed, (TCPAddress, UDPAddress)):
        _means_what_the_c_library_reads(parsed, text)


def _survives_its_text(parsed: Address) -> None:
    again = parse_address(str(parsed))
    assert again == parsed
    assert type(again) is type(parsed)
    assert hash(again) == hash(parsed)
    assert str(again) == str(parsed)
    assert again.endpoint == parsed.endpoint
    assert parse_address(parsed) is parsed
    if parsed.endpoint is not None:
        _is_shown_on_one_line(parsed.endpoint)
        shown = format_sockaddr(parsed.endpoint.family, parsed.endpoint.sockaddr)
        if isinstance(parsed, (TCPAddress, VsockAddress)):
            # Flow labels are left out there.
            assert parse_address(shown) == _without_flowinfo(parsed)
        elif isinstance(parsed, UnixAddress) and parsed.path.isprintable():
            assert shown == f"unix:{parsed.path}"


def _is_what_its_values_make(parsed: Address) -> None:
    if isinstance(parsed, UnixAddress):
        assert UnixAddress(parsed.path, parsed.type) == parsed
    elif isinstance(parsed, TCPAddress) and "%" not in parsed.host:
        if ":" in parsed.host:
            whole = (parsed.host, parsed.port, parsed.flowinfo, parsed.scope_id)
            assert parse_address(whole) == parsed
        else:
            assert parse_address((parsed.host, parsed.port)) == parsed


def _without_flowinfo(parsed: TCPAddress | VsockAddress) -> TCPAddress | VsockAddress:
    if isinstance(parsed, VsockAddress):
        return parsed
    return TCPAddress(parsed.host, parsed.port, 0, parsed.scope_id)


def _is_shown_on_one_line(endpoint: Endpoint) -> None:
    shown = format_sockaddr(endpoint.family, endpoint.sockaddr)
    assert shown.isprintable()
    assert shown


def _means_what_the_c_library_reads(parsed: TCPAddress | UDPAddress, text: str) -> None:
    """The C library reads a literal as the same address, and a name as none."""
    endpoint = parsed.endpoint
    host = parsed.host
    asked: str | bytes = host
    if ":" in host:
        # As it was written, zone and all; as bytes, for Python would take it for a name to encode.
        zoned = text[text.index("[") + 1 : text.index("]")]
        asked = zoned.encode("utf-8", "surrogateescape")
    if endpoint is None and "%" in host:
        with suppress(OSError):  # most names of zones are no interface
            endpoint = zoned_endpoint(parsed)
    try:
        (family, _, _, _, sockaddr), *others = socket.getaddrinfo(
            asked, parsed.port, type=socket.SOCK_STREAM, flags=_NUMERIC
        )
    except (OSError, UnicodeError):
        # It knows no more zones than there are interfaces, or none that no link has.
        assert endpoint is None or parsed.scope_id or "%" in host
        return
    if endpoint is None:
        # 127.1 is a name here: what it resolves to is what is permitted or not.
        ascii_host = host.encode("idna").decode("ascii")
        assert family == socket.AF_INET
        assert _OLD_IPV4.fullmatch(ascii_host), ascii_host
        assert not _is_ipv4(ascii_host), "it is a literal address"
        return
    assert not others
    assert family == endpoint.family
    assert socket.inet_pton(family, _bare(sockaddr)) == socket.inet_pton(
        family, _bare(endpoint.sockaddr)
    )
    assert sockaddr[1] == endpoint.sockaddr[1]
    assert sockaddr[3:] == endpoint.sockaddr[3:]


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _bare(sockaddr: Any) -> str:
    host: str = sockaddr[0]
    return host.partition("%")[0]


# ------------------------------------------------------------------------------- results

_FAMILIES: list[Any] = [
    socket.AF_INET,
    socket.AF_INET6,
    socket.AF_UNIX,
    socket.AF_NETLINK,
    0,
    -1,
    2**40,
]
_FAMILIES += [getattr(socket, "AF_VSOCK", 40), True, None]
_TYPES: list[Any] = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW]
_TYPES += [0, 99, True, "1"]
_PROTOCOLS: list[Any] = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, -1, 2**31, 1.0]
_NUMBERS: list[Any] = [
    0,
    1,
    80,
    0xFFFF,
    0x10000,
    0xFFFFF,
    0x100000,
    2**32 - 1,
    2**32,
    -1,
    True,
    1.0,
    None,
]
_HOSTS: list[Any] = [
    "127.0.0.1",
    "::1",
    "fe80::1",
    "fe80::1%2",
    "fe80::1%lo",
    "::ffff:1.2.3.4",
    "a",
    "",
]
_HOSTS += ["1.2.3.4%1", "127.1", "::1%", "\0", "\ud800", None, 1, b"::1"]


def results(data: bytes) -> None:
    """Any list is endpoints that are what the list says, or a ValueError or TypeError."""
    choices = Reader(data)
    entries: list[Any] = []
    while choices.more:
        entries.append(_entry(choices))
    try:
        endpoints = endpoints_of_results(entries)
    except (TypeError, ValueError) as error:
        refusal = error
    else:
        _are_what_the_list_says(endpoints, entries)
        return
    assert type(refusal) in (TypeError, ValueError)
    assert str(refusal)


def _are_what_the_list_says(endpoints: list[Endpoint], entries: list[Any]) -> None:
    kept = [entry for entry in entries if entry[1] == entries[0][1]]
    assert len(endpoints) == len(kept)
    for endpoint, entry in zip(endpoints, kept, strict=True):
        assert endpoint.family == entry[0]
        assert endpoint.type == entry[1] != socket.SOCK_RAW
        assert endpoint.proto == entry[2] or entry[2] == 0
        # The number of a zone goes where connect(2) has it.
        if endpoint.family == socket.AF_INET6 and "%" in entry[4][0]:
            assert TCPAddress(*endpoint.sockaddr) == TCPAddress(*entry[4])
        else:
            assert endpoint.sockaddr == entry[4]
        _is_shown_on_one_line(endpoint)
        if endpoint.family in (socket.AF_INET, socket.AF_INET6):
            where: Any = endpoint.sockaddr
            host, port = where[:2]
            socket.inet_pton(endpoint.family, host.partition("%")[0])  # or it raises
            assert 0 <= port <= 0xFFFF
    assert endpoints_of_results(kept) == endpoints


def _entry(choices: Reader) -> Any:
    if choices.byte() >= 250:
        return choices.choice([(), None, "::1", (2, 1, 6, ""), [2, 1, 6, "", ("::1", 1)]])
    numbers = [choices.choice(some) for some in (_FAMILIES, _TYPES, _PROTOCOLS)]
    return (*numbers, "", _sockaddr(choices))


def _sockaddr(choices: Reader) -> Any:
    kind = choices.byte()
    if kind % 8 < 6:
        sizes = (2, 4, 2, 3, 1, 0)
        parts = [choices.choice(_HOSTS), *(choices.choice(_NUMBERS) for _ in range(3))]
        if kind >= 128:
            parts[0] = choices.choice(_NUMBERS)
        return tuple(parts[: sizes[kind % 8]])
    path = choices.taken(choices.byte())
    return path if kind % 8 == 6 else os.fsdecode(path)
