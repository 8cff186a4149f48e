"""What addresses hold, what they stand for, and what is refused before any system call."""

from __future__ import annotations

import copy
import pickle
import re
import socket
from dataclasses import FrozenInstanceError, fields, replace
from enum import IntEnum
from pathlib import Path, PurePosixPath
from socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    AF_VSOCK,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
)
from typing import Any

import pytest

from aconnect import Address, TCPAddress, UDPAddress, UnixAddress, VsockAddress
from aconnect.addresses.values import Endpoint, check_path, literal_family

LABEL = "a" * 63
NAME = ".".join([LABEL, LABEL, LABEL, "b" * 61])  # 253 characters, the longest there is


class Port(IntEnum):
    HTTP = 80


class PathOf:
    """A path object of whatever it is given."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


# ------------------------------------------------------------------- what they stand for

ENDPOINTS = [
    (TCPAddress("127.0.0.1", 80), (AF_INET, SOCK_STREAM, IPPROTO_TCP, ("127.0.0.1", 80))),
    (UDPAddress("127.0.0.1", 53), (AF_INET, SOCK_DGRAM, IPPROTO_UDP, ("127.0.0.1", 53))),
    (TCPAddress("::1", 80), (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("::1", 80, 0, 0))),
    (UDPAddress("::1", 53), (AF_INET6, SOCK_DGRAM, IPPROTO_UDP, ("::1", 53, 0, 0))),
    (TCPAddress("::1", 80, 7), (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("::1", 80, 7, 0))),
    (TCPAddress("fe80::1", 80, 7, 2), (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1", 80, 7, 2))),
    (TCPAddress("fe80::1%2", 80), (AF_INET6, SOCK_STREAM, IPPROTO_TCP, ("fe80::1", 80, 0, 2))),
    (UnixAddress("/run/x"), (AF_UNIX, SOCK_STREAM, 0, "/run/x")),
    (UnixAddress("x", SOCK_DGRAM), (AF_UNIX, SOCK_DGRAM, 0, "x")),
    (UnixAddress("/run/\udcff"), (AF_UNIX, SOCK_STREAM, 0, "/run/\udcff")),
    (UnixAddress("@x", SOCK_SEQPACKET), (AF_UNIX, SOCK_SEQPACKET, 0, b"\0x")),
    (UnixAddress("@\u00e9\udcff"), (AF_UNIX, SOCK_STREAM, 0, b"\0\xc3\xa9\xff")),
    (UnixAddress("@@"), (AF_UNIX, SOCK_STREAM, 0, b"\0@")),
    (UnixAddress(Path("@x")), (AF_UNIX, SOCK_STREAM, 0, "./@x")),
    (VsockAddress(2, 1024), (AF_VSOCK, SOCK_STREAM, 0, (2, 1024))),
]


@pytest.mark.parametrize(("address", "endpoint"), ENDPOINTS, ids=str)
def test_an_address_stands_for_one_endpoint(
    address: Address, endpoint: tuple[int, int, int, Any]
) -> None:
    assert address.endpoint == Endpoint(*endpoint)


@pytest.mark.parametrize(
    "address",
    [
        TCPAddress("localhost", 80),
        UDPAddress("example.org", 53),
        TCPAddress("1.2.3", 80),
        TCPAddress("fe80::1%eth0", 80),
        UDPAddress("fe80::1%eth0", 53, 7),
    ],
    ids=str,
)
def test_names_and_named_zones_have_to_be_looked_up(address: TCPAddress | UDPAddress) -> None:
    assert address.endpoint is None


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("127.0.0.1", AF_INET),
        ("::", AF_INET6),
        ("::ffff:127.0.0.1", AF_INET6),
        ("localhost", None),
        ("127.1", None),
        ("127.0.0.01", None),
        ("::1%1", None),
        ("[::1]", None),
        ("", None),
        (":", None),
        ("::1\0", None),
        ("127.0.0.1\0", None),
        ("127.0.0.\u0661", None),
        ("\udcff", None),
        (":\udcff", None),
    ],
    ids=ascii,
)
def test_only_the_strict_text_of_an_ip_address_is_literal(host: str, family: int | None) -> None:
    assert literal_family(host) == family


def test_no_platform_has_the_family_that_stands_in_for_a_missing_one() -> None:
    from aconnect.addresses.values import _NO_FAMILY

    with pytest.raises(OSError, match="Address family not supported"):
        socket.socket(_NO_FAMILY, SOCK_STREAM)


# ------------------------------------------------------------------- what they look like

TEXTS = [
    (TCPAddress("example.org", 80), "example.org:80"),
    (TCPAddress("example.org.", 0), "example.org.:0"),
    (TCPAddress("b\u00fccher.example", 80), "b\u00fccher.example:80"),
    (TCPAddress("127.0.0.1", 65535), "127.0.0.1:65535"),
    (TCPAddress("::1", Port.HTTP), "[::1]:80"),
    (TCPAddress("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
    (TCPAddress("fe80::1%007", 80), "[fe80::1%7]:80"),
    (TCPAddress("fe80::1%4294967295", 80), "[fe80::1%4294967295]:80"),
    (TCPAddress("fe80::1%\u0663", 80), "[fe80::1%\u0663]:80"),
    (TCPAddress(f"fe80::1%{chr(0x663) * 11}", 80), f"[fe80::1%{chr(0x663) * 11}]:80"),
    (TCPAddress("::1%0", 80), "[::1]:80"),
    (TCPAddress("fe80::1", 80, 0xFFFFF, 0xFFFFFFFF), "[fe80::1%4294967295]:80?flowinfo=1048575"),
    (TCPAddress("unix", 80), "tcp://unix:80"),
    (TCPAddress("UnixPacket", 80), "tcp://UnixPacket:80"),
    (TCPAddress("vsock", 80), "tcp://vsock:80"),
    (TCPAddress("tcp", 80), "tcp:80"),
    (UDPAddress("example.org", 53), "udp://example.org:53"),
    (UDPAddress("unix", 53), "udp://unix:53"),
    (UDPAddress("fe80::1%eth0", 53, 7), "udp://[fe80::1%eth0]:53?flowinfo=7"),
    (UnixAddress("/run/x"), "unix:/run/x"),
    (UnixAddress("@x"), "unix:@x"),
    (UnixAddress(Path("@x")), "unix:./@x"),
    (UnixAddress("x", SOCK_DGRAM), "unixgram:x"),
    (UnixAddress("x", SOCK_SEQPACKET), "unixpacket:x"),
    (VsockAddress(2, 1024), "vsock:2:1024"),
]


@pytest.mark.parametrize(("address", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_str_is_the_canonical_text(address: Address, text: str) -> None:
    assert str(address) == text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TCPAddress("::1%2", 80), "TCPAddress(host='::1', port=80, flowinfo=0, scope_id=2)"),
        (UDPAddress("a", 53), "UDPAddress(host='a', port=53, flowinfo=0, scope_id=0)"),
        (UnixAddress("x"), "UnixAddress(path='x', type=<SocketKind.SOCK_STREAM: 1>)"),
        (VsockAddress(2, 1024), "VsockAddress(cid=2, port=1024)"),
    ],
    ids=str,
)
def test_repr_shows_what_was_given_and_not_what_was_computed(address: Address, text: str) -> None:
    assert repr(address) == text


@pytest.mark.parametrize(
    ("path", "kept", "is_abstract"),
    [
        ("/run/x", "/run/x", False),
        ("./@x", "./@x", False),
        ("@x", "@x", True),
        (Path("/run/x"), "/run/x", False),
        (PurePosixPath("@x"), "./@x", False),
        (PathOf("@x"), "./@x", False),
        (PathOf("@"), "./@", False),
        ("/" + "x" * 5000, "/" + "x" * 5000, False),
        ("@" + "x" * 107, "@" + "x" * 107, True),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_unix_path_is_kept_and_only_a_str_can_be_abstract(
    path: Any, kept: str, is_abstract: bool
) -> None:
    address = UnixAddress(path)
    assert address.path == kept
    assert address.is_abstract is is_abstract


def test_the_type_of_a_unix_address_may_be_a_plain_number() -> None:
    assert UnixAddress("x", 2).type is SOCK_DGRAM


# ------------------------------------------------------------------------ what is refused

WRONG_TYPES: list[tuple[Any, tuple[Any, ...], str]] = [
    (TCPAddress, (b"a", 80), "host must be a str, not b'a'"),
    (TCPAddress, (None, 80), "host must be a str, not None"),
    (TCPAddress, (("a",), 80), "host must be a str, not ('a',)"),
    (TCPAddress, ("a", True), "port must be an int, not True"),
    (TCPAddress, ("a", "80"), "port must be an int, not '80'"),
    (TCPAddress, ("a", 80.0), "port must be an int, not 80.0"),
    (TCPAddress, ("a", None), "port must be an int, not None"),
    (UDPAddress, ("a", False), "port must be an int, not False"),
    (TCPAddress, ("::1", 80, None), "flowinfo must be an int, not None"),
    (TCPAddress, ("::1", 80, True), "flowinfo must be an int, not True"),
    (TCPAddress, ("::1", 80, 0, "eth0"), "scope_id must be an int, not 'eth0'"),
    (UnixAddress, (b"x",), "path must be a str or a path object, not b'x'"),
    (UnixAddress, (None,), "path must be a str or a path object, not None"),
    (UnixAddress, (5,), "path must be a str or a path object, not 5"),
    (VsockAddress, ("2", 1024), "cid must be an int, not '2'"),
    (VsockAddress, (True, 1024), "cid must be an int, not True"),
    (VsockAddress, (2, 1024.0), "port must be an int, not 1024.0"),
]
WRONG_VALUES: list[tuple[Any, tuple[Any, ...], str]] = [
    (TCPAddress, ("a", 70000), "port must be from 0 to 65535, not 70000"),
    (TCPAddress, ("a", -1), "port must be from 0 to 65535, not -1"),
    (TCPAddress, ("::1", 80, 0x100000), "flowinfo must be from 0 to 1048575, not 1048576"),
    (TCPAddress, ("::1", 80, 0, 2**32), "scope_id must be from 0 to 4294967295, not 4294967296"),
    (
        TCPAddress,
        ("127.0.0.1", 80, 1),
        "flowinfo and scope_id belong to IPv6 addresses only, not '127.0.0.1'",
    ),
    (TCPAddress, ("a", 80, 0, 1), "flowinfo and scope_id belong to IPv6 addresses only, not 'a'"),
    (TCPAddress, ("::1%eth0", 80, 0, 2), "scope_id 2 beside the zone in '::1%eth0'"),
    (TCPAddress, ("::1%2", 80, 0, 2), "scope_id 2 beside the zone in '::1%2'"),
    (TCPAddress, ("::1%", 80), "host has an invalid zone: '::1%'"),
    (TCPAddress, ("::1%a%b", 80), "host has an invalid zone: '::1%a%b'"),
    (TCPAddress, ("::1%a/b", 80), "host has an invalid zone: '::1%a/b'"),
    (TCPAddress, ("::1%a\0", 80), "host has an invalid zone: '::1%a\\x00'"),
    (
        TCPAddress,
        ("::1%4294967296", 80),
        "host has a zone that is no valid interface index: '::1%4294967296'",
    ),
    (
        TCPAddress,
        ("::1%00000000001", 80),
        "host has a zone that is no valid interface index: '::1%00000000001'",
    ),
    (TCPAddress, ("", 80), "host must not be empty: ''"),
    *(
        (TCPAddress, (host, 80), f"host is neither a name nor an IPv4 or IPv6 address: {host!r}")
        for host in [
            " ",
            "a b",
            "a\0b",
            "a\n",
            "a/b",
            "a@b",
            "a:80",
            "a%b",
            "*",
            "*.example",
            "[::1]",
            "127.0.0.1%1",
            "1:2",
            "\udcff",
            "\u00e9 ",
            "a\u200bb",
        ]
    ),
    *(
        (
            TCPAddress,
            (host, 80),
            f"host has a label that is empty or longer than 63 characters: {host!r}",
        )
        for host in [".", ".a", "a..b", "a..", "a" * 64]
    ),
    (TCPAddress, (f"{NAME}b", 80), f"host is longer than 253 characters: '{NAME}b'"),
    (TCPAddress, (f"{NAME}b.", 80), f"host is longer than 253 characters: '{NAME}b.'"),
    *(
        (TCPAddress, (host, 80), f"host is not a valid international name: {host!r}")
        for host in ["\u00e9..b", "\u00e9" * 64, "\u0627a"]
    ),
    (UDPAddress, ("", 53), "host must not be empty: ''"),
    (UnixAddress, ("",), "path must not be empty: ''"),
    (UnixAddress, ("@",), "path must not be empty: '@'"),
    (UnixAddress, ("/run\0/x",), "path must not contain a NUL character: '/run\\x00/x'"),
    (
        UnixAddress,
        ("\0x",),
        "path must not contain a NUL character: '\\x00x': an abstract name is '@x'",
    ),
    (UnixAddress, ("/\ud800",), "path cannot be encoded for the file system: '/\\ud800'"),
    (
        UnixAddress,
        ("@" + "x" * 108,),
        f"path: an abstract name has at most 107 bytes: '@{'x' * 108}'",
    ),
    (
        UnixAddress,
        ("@" + "\u00e9" * 54,),
        f"path: an abstract name has at most 107 bytes: '@{chr(233) * 54}'",
    ),
    (
        UnixAddress,
        ("x", SOCK_RAW),
        f"type must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, not {SOCK_RAW!r}",
    ),
    (UnixAddress, ("x", 0), "type must be SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, not 0"),
    (VsockAddress, (2**32, 1024), "cid must be from 0 to 4294967295, not 4294967296"),
    (VsockAddress, (-1, 1024), "cid must be from 0 to 4294967295, not -1"),
    (VsockAddress, (2, 2**32), "port must be from 0 to 4294967295, not 4294967296"),
]


def row_id(value: object) -> str | None:
    """A short id for a row of arguments; none for what is no part of them."""
    return ascii(value)[:40] if isinstance(value, tuple) else None


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG_TYPES, ids=row_id)
def test_a_wrong_type_is_a_type_error_that_shows_it(
    kind: Any, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        kind(*arguments)


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG_VALUES, ids=row_id)
def test_a_wrong_value_is_a_value_error_that_shows_it(
    kind: Any, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        kind(*arguments)
    assert type(caught.value) is ValueError


def test_a_path_object_of_bytes_is_a_type_error_that_shows_it() -> None:
    path: Any = PathOf(b"x")
    with pytest.raises(
        TypeError, match=f"^path must be a path of str, not {re.escape(repr(path))}$"
    ):
        UnixAddress(path)


@pytest.mark.parametrize("kind", [True, 1.0, "stream", [], None], ids=repr)
def test_a_type_that_is_no_int_is_a_type_error_that_shows_it(kind: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"type must be an int, not {kind!r}")):
        UnixAddress("x", kind)


def test_wide_digits_are_no_address_and_no_name() -> None:
    """IDNA would make it 127.0.0.1, after everybody has taken it for a name."""
    with pytest.raises(ValueError, match="not a valid international name"):
        TCPAddress("\uff11\uff12\uff17.0.0.1", 80)


def test_an_endless_international_name_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="longer than 253"):
        TCPAddress("\u00e9." * 100_000, 80)


@pytest.mark.parametrize("host", ["a\uff0fb", "\uff1a\uff1a1", "a\uff20b", "a\u2100"], ids=ascii)
def test_a_delimiter_stays_one_when_it_is_wide(host: str) -> None:
    """IDNA maps wide characters to ASCII: FULLWIDTH COLON, twice, and 1 would be ``::1``."""
    message = f"host is not a valid international name: {host!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TCPAddress(host, 80)


def test_of_ascii_only_delimiters_and_what_is_not_printable_are_no_part_of_a_name() -> None:
    allowed = []
    for char in map(chr, range(128)):
        try:
            TCPAddress(f"a{char}b", 80)
        except ValueError:
            continue
        allowed.append(char)
    assert "".join(allowed) == (
        "!$&'()+,-.0123456789;=ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
    )


@pytest.mark.parametrize("host", [NAME, f"{NAME}.", LABEL, "a_b", "xn--nxasmq6b", "\u00e9" * 50])
def test_the_longest_and_strangest_names_are_names(host: str) -> None:
    address = TCPAddress(host, 80)
    assert address.host == host
    assert address.endpoint is None


@pytest.mark.parametrize(
    "path", ["/run/x", "@x", " ", "\0x", b"/run/x", b"\0x", b"\xff"], ids=ascii
)
def test_a_path_in_the_form_of_the_socket_module(path: str | bytes) -> None:
    check_path(path, "path")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "sockaddr must not be empty: ''"),
        (b"", "sockaddr must not be empty: b''"),
        ("/run\0/x", "sockaddr must not contain a NUL character: '/run\\x00/x'"),
        (b"/run\0/x", "sockaddr must not contain a NUL character: b'/run\\x00/x'"),
        ("\0x\0", "sockaddr must not contain a NUL character: '\\x00x\\x00'"),
        (b"\0\0", "sockaddr must not contain a NUL character: b'\\x00\\x00'"),
    ],
    ids=ascii,
)
def test_a_path_that_the_socket_module_would_misread_is_refused(
    path: str | bytes, message: str
) -> None:
    """It would be cut at the NUL, and lead to another socket."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_path(path, "sockaddr")


# --------------------------------------------------------------------------------- values

VALUES: list[Address] = [
    TCPAddress("a", 80),
    TCPAddress("127.0.0.1", 80),
    TCPAddress("fe80::1%eth0", 80, 7),
    TCPAddress("fe80::1%2", 80),
    UDPAddress("a", 80),
    UDPAddress("::1", 80),
    UnixAddress("/run/\udcff"),
    UnixAddress("@x", SOCK_DGRAM),
    UnixAddress("@x", SOCK_SEQPACKET),
    VsockAddress(2, 80),
]


@pytest.mark.parametrize("address", VALUES, ids=ascii)
def test_copies_and_pickles_are_equal(address: Address) -> None:
    pickles = [pickle.dumps(address, each) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
    copies = [copy.copy(address), copy.deepcopy(address), replace(address)]
    for each in [*copies, *map(pickle.loads, pickles)]:
        assert type(each) is type(address)
        assert each == address
        assert hash(each) == hash(address)
        assert each.endpoint == address.endpoint


@pytest.mark.parametrize("address", VALUES, ids=ascii)
def test_an_address_cannot_be_changed(address: Address) -> None:
    assert fields(address)
    for field in fields(address):
        before = getattr(address, field.name)
        with pytest.raises(FrozenInstanceError):
            setattr(address, field.name, before)
        with pytest.raises(FrozenInstanceError):
            delattr(address, field.name)
        assert getattr(address, field.name) is before
    with pytest.raises((AttributeError, TypeError)):
        setattr(address, "comment", "x")  # noqa: B010  # an assignment would not type-check
    assert not hasattr(address, "__dict__")


def test_all_these_differ_and_each_equals_itself() -> None:
    assert len({*VALUES}) == len(VALUES)
    for address in VALUES:
        assert [other for other in VALUES if other == address] == [address]
        others: list[Any] = [str(address), None, 0]
        assert address not in others


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TCPAddress("a", 80), UDPAddress("a", 80)),
        (TCPAddress("a", 80), TCPAddress("A", 80)),
        (TCPAddress("a", 80), TCPAddress("a.", 80)),
        (TCPAddress("::1", 80), TCPAddress("0::1", 80)),
        (TCPAddress("::1", 80), TCPAddress("::1", 80, 7)),
        (TCPAddress("::1", 80), TCPAddress("::1", 80, 0, 7)),
        (UnixAddress("x"), UnixAddress("x", SOCK_DGRAM)),
        (UnixAddress("@x"), UnixAddress("./@x")),
        (VsockAddress(2, 3), VsockAddress(3, 2)),
    ],
    ids=str,
)
def test_what_is_written_differently_differs(one: Address, other: Address) -> None:
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TCPAddress("fe80::1%2", 80), TCPAddress("fe80::1", 80, scope_id=2)),
        (TCPAddress("::1%0", 80), TCPAddress("::1", 80)),
        (UnixAddress(Path("@x")), UnixAddress("./@x")),
        (UnixAddress(Path("/run/x")), UnixAddress("/run/x", SOCK_STREAM)),
    ],
    ids=str,
)
def test_two_ways_to_write_the_same(one: Address, other: Address) -> None:
    assert one == other
    assert hash(one) == hash(other)


def test_replace_checks_again() -> None:
    address = TCPAddress("fe80::1", 80)
    assert replace(address, scope_id=2).endpoint == TCPAddress("fe80::1%2", 80).endpoint
    with pytest.raises(ValueError, match="70000"):
        replace(address, port=70000)


@pytest.mark.parametrize("kind", [TCPAddress, UDPAddress])
@pytest.mark.parametrize(
    "host", ["fa\xdf.de", "FA\u1e9e.de", "\u03b2\u03cc\u03bb\u03bf\u03c2.com"]
)
def test_a_name_that_is_two_hosts_is_refused(kind: Any, host: str) -> None:
    """To some it is fass.de, to others xn--fa-hia.de."""
    with pytest.raises(ValueError, match="use its xn-- form"):
        kind(host, 80)


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_so_is_one_with_a_joiner(joiner: str) -> None:
    with pytest.raises(ValueError, match="host is neither a name nor"):
        TCPAddress(f"a{joiner}b.example", 80)
