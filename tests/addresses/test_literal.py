"""Addresses that need no name server: zones by name, and results of getaddrinfo(3)."""

from __future__ import annotations

import re
import socket
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    AF_VSOCK,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_RDM,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from typing import Any

import pytest

from aconnect import TCPAddress, UDPAddress
from aconnect.addresses.literal import endpoints_of_results, zoned_endpoint
from aconnect.addresses.values import Endpoint

INTERFACES = socket.if_nameindex()
HOME, HOME6 = ("127.0.0.1", 80), ("::1", 80, 0, 0)
IPPROTO_SCTP = 132

# ----------------------------------------------------------------------------- named zones


@pytest.mark.parametrize(("index", "name"), INTERFACES)
def test_a_named_zone_is_an_interface(index: int, name: str) -> None:
    tcp = zoned_endpoint(TCPAddress(f"fe80::1%{name}", 80))
    assert tcp == Endpoint(AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1", 80, 0, index))
    udp = zoned_endpoint(UDPAddress(f"fe80::1%{name}", 53, flowinfo=7))
    assert udp == Endpoint(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, ("fe80::1", 53, 7, index))


@pytest.mark.parametrize("zone", ["no-such-zone", "x" * 500, "\u00e9"])
def test_a_zone_that_no_interface_has_is_an_oserror(zone: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  # its errno and words are the platform's
        zoned_endpoint(TCPAddress(f"fe80::1%{zone}", 80))


# ------------------------------------------------------------------------ entries of results


@pytest.mark.parametrize(
    ("entry", "endpoint"),
    [
        (
            (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", HOME),
            (AF_INET, SOCK_STREAM, IPPROTO_TCP, HOME),
        ),
        ((AF_INET, SOCK_STREAM, 0, "", HOME), (AF_INET, SOCK_STREAM, IPPROTO_TCP, HOME)),
        ((AF_INET6, SOCK_STREAM, 0, "", HOME6), (AF_INET6, SOCK_STREAM, IPPROTO_TCP, HOME6)),
        ((AF_INET, SOCK_DGRAM, 0, "", HOME), (AF_INET, SOCK_DGRAM, IPPROTO_UDP, HOME)),
        ((AF_INET6, SOCK_DGRAM, 0, "", HOME6), (AF_INET6, SOCK_DGRAM, IPPROTO_UDP, HOME6)),
        ((AF_INET, SOCK_SEQPACKET, 0, "", HOME), (AF_INET, SOCK_SEQPACKET, 0, HOME)),
        (
            (AF_INET, SOCK_STREAM, IPPROTO_SCTP, "", HOME),
            (AF_INET, SOCK_STREAM, IPPROTO_SCTP, HOME),
        ),
        (
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "a.example", ("::1", 80)),
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("::1", 80)),
        ),
        (
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "", ("fe80::1", 80, 7, 2)),
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1", 80, 7, 2)),
        ),
        (
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "", ("fe80::1%eth0", 80, 0, 0)),
            (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1%eth0", 80, 0, 0)),
        ),
        ((AF_UNIX, SOCK_STREAM, 0, "", "/run/x"), (AF_UNIX, SOCK_STREAM, 0, "/run/x")),
        ((AF_UNIX, SOCK_SEQPACKET, 0, None, b"\0x"), (AF_UNIX, SOCK_SEQPACKET, 0, b"\0x")),
        ((AF_VSOCK, SOCK_STREAM, 0, "", (2, 1024)), (AF_VSOCK, SOCK_STREAM, 0, (2, 1024))),
        ((2, 1, 6, "", HOME), (AF_INET, SOCK_STREAM, IPPROTO_TCP, HOME)),
    ],
    ids=repr,
)
def test_an_entry_stands_for_an_endpoint(entry: Any, endpoint: Any) -> None:
    assert endpoints_of_results([entry]) == (Endpoint(*endpoint),)
    assert endpoints_of_results((entry,)) == (Endpoint(*endpoint),)


TCP = (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", HOME)
TCP6 = (AF_INET6, SOCK_STREAM, IPPROTO_TCP, "", HOME6)
UDP = (AF_INET, SOCK_DGRAM, IPPROTO_UDP, "", HOME)
RAW = (AF_INET, SOCK_RAW, 0, "", HOME)


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ([TCP], [TCP]),
        ([TCP6, TCP], [TCP6, TCP]),
        ([TCP, TCP6], [TCP, TCP6]),
        ([TCP, TCP], [TCP, TCP]),
        ([TCP, UDP, RAW], [TCP]),
        ([UDP, TCP, RAW], [UDP]),
        ([TCP6, UDP, RAW, TCP], [TCP6, TCP]),
    ],
)
def test_entries_keep_their_order_and_the_first_one_decides_the_type(
    entries: list[Any], kept: list[Any]
) -> None:
    expected = tuple(
        Endpoint(family, type, proto, sockaddr) for family, type, proto, _, sockaddr in kept
    )
    assert endpoints_of_results(entries) == expected


def test_what_getaddrinfo_returns_is_understood() -> None:
    results = socket.getaddrinfo("127.0.0.1", 80)
    assert endpoints_of_results(results) == (Endpoint(AF_INET, SOCK_STREAM, IPPROTO_TCP, HOME),)
    results = socket.getaddrinfo("::1", 53, type=SOCK_DGRAM)
    assert endpoints_of_results(results) == (
        Endpoint(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, ("::1", 53, 0, 0)),
    )


# ----------------------------------------------------------------------------- what is refused

NO_ENTRY = "address must be a list of (family, type, proto, canonname, sockaddr) as getaddrinfo()"


@pytest.mark.parametrize(
    ("results", "kind", "message"),
    [
        ([], ValueError, "address must not be an empty list: there is nothing to connect to"),
        ((), ValueError, "address must not be an empty list: there is nothing to connect to"),
        (["127.0.0.1:80"], TypeError, f"{NO_ENTRY} returns it, but has '127.0.0.1:80'"),
        ([HOME], TypeError, f"{NO_ENTRY} returns it, but has {HOME!r}"),
        ([list(TCP)], TypeError, f"{NO_ENTRY} returns it, but has {list(TCP)!r}"),
        ([TCP, None], TypeError, f"{NO_ENTRY} returns it, but has None"),
        ([TCP, TCP[:4]], TypeError, f"{NO_ENTRY} returns it, but has {TCP[:4]!r}"),
        ([("2", 1, 6, "", HOME)], TypeError, f"must be ints, not {('2', 1, 6, '', HOME)!r}"),
        ([(2, None, 6, "", HOME)], TypeError, f"must be ints, not {(2, None, 6, '', HOME)!r}"),
        ([(2, 1, 6.0, "", HOME)], TypeError, f"must be ints, not {(2, 1, 6.0, '', HOME)!r}"),
        (
            [(AF_INET, SOCK_STREAM, 0, "", "127.0.0.1")],
            TypeError,
            (
                "sockaddr must be (host, port), or (host, port, flowinfo, scope_id) for IPv6, not "
                "'127.0.0.1'"
            ),
        ),
        (
            [(AF_INET, SOCK_STREAM, 0, "", ["127.0.0.1", 80])],
            TypeError,
            (
                "sockaddr must be (host, port), or (host, port, flowinfo, scope_id) for IPv6, not "
                "['127.0.0.1', 80]"
            ),
        ),
        (
            [(AF_INET6, SOCK_STREAM, 0, "", ("::1", 80, 0))],
            TypeError,
            (
                "sockaddr must be (host, port), or (host, port, flowinfo, scope_id) for IPv6, not "
                "('::1', 80, 0)"
            ),
        ),
        (
            [(AF_INET, SOCK_STREAM, 0, "", ("127.0.0.1", "80"))],
            TypeError,
            "port must be an int, not '80'",
        ),
        (
            [(AF_INET, SOCK_STREAM, 0, "", ("127.0.0.1", 70000))],
            ValueError,
            "port must be from 0 to 65535, not 70000",
        ),
        (
            [(AF_INET6, SOCK_STREAM, 0, "", (b"::1", 80, 0, 0))],
            TypeError,
            "host must be a str, not b'::1'",
        ),
        (
            [(AF_INET, SOCK_STREAM, 0, "", ("localhost", 80))],
            ValueError,
            "sockaddr must have an IP address of the entry's family, not ('localhost', 80)",
        ),
        (
            [(AF_INET, SOCK_STREAM, 0, "", ("::1", 80))],
            ValueError,
            "sockaddr must have an IP address of the entry's family, not ('::1', 80)",
        ),
        (
            [(AF_INET6, SOCK_STREAM, 0, "", ("127.0.0.1", 80, 0, 0))],
            ValueError,
            "sockaddr must have an IP address of the entry's family, not ('127.0.0.1', 80, 0, 0)",
        ),
        (
            [(AF_INET6, SOCK_STREAM, 0, "", ("fe80::1%eth0", 80, 0, 2))],
            ValueError,
            "scope_id 2 beside the zone in 'fe80::1%eth0'",
        ),
        (
            [(AF_UNIX, SOCK_STREAM, 0, "", None)],
            TypeError,
            ", not None",
        ),
        (
            [(AF_INET, SOCK_RDM, 0, "", HOME)],
            ValueError,
            f"SOCK_SEQPACKET, not {(AF_INET, SOCK_RDM, 0, '', HOME)!r}",
        ),
        (
            [TCP, (AF_INET, SOCK_STREAM | socket.SOCK_NONBLOCK, 0, "", HOME)],
            ValueError,
            "type must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, not ",
        ),
    ],
)
def test_what_getaddrinfo_would_not_return_is_refused(
    results: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        endpoints_of_results(results)


@pytest.mark.parametrize(
    ("entry", "kind", "message"),
    [
        (
            (AF_INET, SOCK_RAW, 0, "", ("127.0.0.1", 80)),
            ValueError,
            (
                "address must be getaddrinfo() results for a socket that can connect, not "
                f"SOCK_RAW: {(AF_INET, SOCK_RAW, 0, '', ('127.0.0.1', 80))!r}"
            ),
        ),
        (
            (AF_INET, SOCK_STREAM, IPPROTO_TCP, "", ("127.0.0.1", 80, 0, 0)),
            TypeError,
            (
                "sockaddr must be (host, port), or (host, port, flowinfo, scope_id) for IPv6, not "
                "('127.0.0.1', 80, 0, 0)"
            ),
        ),
        (
            (AF_UNIX, SOCK_STREAM, 0, "", ("127.0.0.1", 80)),
            TypeError,
            "sockaddr must be a str or bytes, not ('127.0.0.1', 80)",
        ),
        ((AF_UNIX, SOCK_STREAM, 0, "", ""), ValueError, "sockaddr must not be empty: ''"),
        (
            (AF_UNIX, SOCK_STREAM, 0, "", "/run/x\0/y"),
            ValueError,
            "sockaddr must not contain a NUL character: '/run/x\\x00/y'",
        ),
        (
            (AF_UNIX, SOCK_STREAM, 0, "", b"/run/x\0/y"),
            ValueError,
            "sockaddr must not contain a NUL character: b'/run/x\\x00/y'",
        ),
        (
            (AF_VSOCK, SOCK_STREAM, 0, "", "/run/x"),
            TypeError,
            "sockaddr must be a tuple, not '/run/x'",
        ),
        (
            (True, SOCK_STREAM, 0, "", "/run/x"),
            TypeError,
            f"family, type and proto must be ints, not {(True, SOCK_STREAM, 0, '', '/run/x')!r}",
        ),
        (
            (AF_UNIX, True, 0, "", "/run/x"),
            TypeError,
            f"family, type and proto must be ints, not {(AF_UNIX, True, 0, '', '/run/x')!r}",
        ),
    ],
    ids=lambda value: ascii(value) if isinstance(value, tuple) else None,
)
def test_an_entry_that_no_socket_takes_is_refused_before_one_is_opened(
    entry: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        endpoints_of_results([entry])


def test_what_is_remembered_is_not_taken_for_its_like() -> None:
    """1 and True are equal, and a list cannot be looked for."""
    entry: list[Any] = [AF_INET, SOCK_STREAM, 6, ""]
    for _ in range(2):
        [endpoint] = endpoints_of_results([(*entry, ("127.0.0.1", 1))])
        assert endpoint.sockaddr == ("127.0.0.1", 1)
        with pytest.raises(TypeError, match="port must be an int, not True"):
            endpoints_of_results([(*entry, ("127.0.0.1", True))])
        with pytest.raises(TypeError, match="host must be"):
            endpoints_of_results([(*entry, (["127.0.0.1"], 1))])
