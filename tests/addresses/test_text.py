"""Every text is an address or a ValueError; and every address is the text of itself."""

from __future__ import annotations

import os
import re
import socket
import string
from pathlib import Path
from socket import AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aconnect import Address, TCPAddress, UDPAddress, UnixAddress, VsockAddress, parse_address
from aconnect.addresses.redacting import shown
from aconnect.addresses.text import format_sockaddr, printable

TCP_HOME = TCPAddress("127.0.0.1", 80)


class HostAndPort(NamedTuple):
    host: str
    port: int


class PathOf:
    """A path object of whatever it is given."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"PathOf({self.path!r})"

    def __fspath__(self) -> Any:
        return self.path


# -------------------------------------------------------------------- what is an address

TEXTS = [
    ("example.org:80", TCPAddress("example.org", 80)),
    ("127.0.0.1:80", TCP_HOME),
    ("127.1:80", TCPAddress("127.1", 80)),
    ("a:0", TCPAddress("a", 0)),
    ("a:0000000080", TCPAddress("a", 80)),
    ("a:65535", TCPAddress("a", 65535)),
    ("tcp://127.0.0.1:80", TCP_HOME),
    ("TCP://127.0.0.1:80", TCP_HOME),
    ("tcp:80", TCPAddress("tcp", 80)),
    ("udp:80", TCPAddress("udp", 80)),
    ("[::1]:80", TCPAddress("::1", 80)),
    ("tcp://[::1]:80", TCPAddress("::1", 80)),
    ("[fe80::1%eth0]:80", TCPAddress("fe80::1%eth0", 80)),
    ("[fe80::1%2]:80", TCPAddress("fe80::1", 80, scope_id=2)),
    ("[::1]:80?flowinfo=7", TCPAddress("::1", 80, flowinfo=7)),
    ("[::1]:80?flowinfo=1048575", TCPAddress("::1", 80, flowinfo=0xFFFFF)),
    ("[fe80::1%2]:80?flowinfo=7", TCPAddress("fe80::1", 80, 7, 2)),
    ("b\u00fccher.example:80", TCPAddress("b\u00fccher.example", 80)),
    ("udp://example.org:53", UDPAddress("example.org", 53)),
    ("Udp://[::1]:53?flowinfo=7", UDPAddress("::1", 53, 7)),
    ("tcp://unix:80", TCPAddress("unix", 80)),
    ("tcp://vsock:80", TCPAddress("vsock", 80)),
    ("unix:/run/x", UnixAddress("/run/x")),
    ("UNIX:/run/x", UnixAddress("/run/x")),
    ("unix:x:y", UnixAddress("x:y")),
    ("unix:80", UnixAddress("80")),
    ("unix: ", UnixAddress(" ")),
    ("unix://run/x", UnixAddress("//run/x")),
    ("unix:unix:x", UnixAddress("unix:x")),
    ("unix:@x", UnixAddress("@x")),
    ("unix:./@x", UnixAddress(Path("@x"))),
    ("unix:/\udcff", UnixAddress(os.fsdecode(b"/\xff"))),
    ("unixgram:x", UnixAddress("x", SOCK_DGRAM)),
    ("unixpacket:@x", UnixAddress("@x", SOCK_SEQPACKET)),
    ("vsock:2:1024", VsockAddress(2, 1024)),
    ("VSOCK:0:4294967295", VsockAddress(0, 0xFFFFFFFF)),
]


@pytest.mark.parametrize(("text", "address"), TEXTS, ids=[ascii(text) for text, _ in TEXTS])
def test_a_text_is_an_address(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("thing", "address"),
    [
        (("127.0.0.1", 80), TCP_HOME),
        (HostAndPort("127.0.0.1", 80), TCP_HOME),
        (("127.0.0.1", 80, 0, 0), TCP_HOME),
        (("::1", 80), TCPAddress("::1", 80)),
        (("fe80::1", 80, 7, 2), TCPAddress("fe80::1", 80, 7, 2)),
        (Path("/run/x"), UnixAddress("/run/x")),
        (Path("@x"), UnixAddress("./@x")),
        (PathOf("x:80"), UnixAddress("x:80")),
    ],
    ids=repr,
)
def test_a_tuple_or_a_path_is_an_address(thing: Any, address: Address) -> None:
    assert parse_address(thing) == address


@pytest.mark.parametrize(
    "address",
    [TCP_HOME, UDPAddress("a", 53), UnixAddress("@x"), VsockAddress(2, 1024)],
    ids=str,
)
def test_an_address_is_returned_as_it_is(address: Address) -> None:
    assert parse_address(address) is address


# ------------------------------------------------------------------------ what is refused

BRACKETS = "brackets are for an IPv6 address, as in [::1]:80"
USE = (
    'use "host:port", "[v6]:port", "tcp://host:port", "udp://host:port", "unix:/path", '
    '"unix:@abstract" or "vsock:cid:port"'
)
NO_BRACKETS = "an IPv6 address needs brackets, as in [::1]:80"
REFUSED_TEXTS = [
    ("", f"the port is missing; {USE}"),
    ("a", f"the port is missing; {USE}"),
    ("tcp://", f"the port is missing; {USE}"),
    ("tcp://a", f"the port is missing; {USE}"),
    ("127.0.0.1", f"the port is missing; {USE}"),
    ("@x", f"the port is missing; {USE}"),
    ("unix", f"the port is missing; {USE}"),
    ("vsock", f"the port is missing; {USE}"),
    ("[]", f"the port is missing; {USE}"),
    ("a?flowinfo=1", f"the port is missing; {USE}"),
    ("a:", "port must be a number from 0 to 65535, not ''"),
    ("a:70000", "port must be a number from 0 to 65535, not '70000'"),
    ("a:65536", "port must be a number from 0 to 65535, not '65536'"),
    ("a:00000000080", "port must be a number from 0 to 65535, not '00000000080'"),
    ("a:-1", "port must be a number from 0 to 65535, not '-1'"),
    ("a:+80", "port must be a number from 0 to 65535, not '+80'"),
    ("a: 80", "port must be a number from 0 to 65535, not ' 80'"),
    ("a:80 ", "port must be a number from 0 to 65535, not '80 '"),
    ("a:80\n", "port must be a number from 0 to 65535, not '80\\n'"),
    ("a:8_0", "port must be a number from 0 to 65535, not '8_0'"),
    ("a:0x50", "port must be a number from 0 to 65535, not '0x50', and no service has that name"),
    ("a:80/", "port must be a number from 0 to 65535, not '80/'"),
    ("a:htpp", "port must be a number from 0 to 65535, not 'htpp', and no service has that name"),
    ("a:\u0668\u0660", "port must be a number from 0 to 65535, not '\u0668\u0660'"),
    ("a:\u00b2", "port must be a number from 0 to 65535, not '\u00b2'"),
    (":80", "host must not be empty: ''"),
    ("tcp://:80", "host must not be empty: ''"),
    ("[]:80", BRACKETS),
    ("[a]:80", BRACKETS),
    ("[127.0.0.1]:80", BRACKETS),
    ("[::1:80", BRACKETS),
    ("[::1]a:80", BRACKETS),
    ("[[::1]]:80", BRACKETS),
    ("[127.0.0.1%1]:80", BRACKETS),
    ("[:80", BRACKETS),
    ("[::1]", f"the port is missing; {USE}"),
    ("[::1]80", f"the port is missing; {USE}"),
    ("[fe80::1%lo]", f"the port is missing; {USE}"),
    ("tcp://[::1]", f"the port is missing; {USE}"),
    ("[::1%]:80", "host has an invalid zone: '::1%'"),
    ("[::1%a%b]:80", "host has an invalid zone: '::1%a%b'"),
    ("[::1%4294967296]:80", "host has a zone that is no valid interface index: '::1%4294967296'"),
    ("::1:80", NO_BRACKETS),
    ("::1", NO_BRACKETS),
    ("fe80::1%eth0:80", NO_BRACKETS),
    ("a:80:90", NO_BRACKETS),
    ("tcp://::1:80", NO_BRACKETS),
    ("udp:a:53", "a scheme must be followed by //, as in udp://host:port"),
    ("TCP:a:80", "a scheme must be followed by //, as in tcp://host:port"),
    ("tcp:[::1]:80", "a scheme must be followed by //, as in tcp://host:port"),
    ("a b:80", "host is neither a name nor an IPv4 or IPv6 address: 'a b'"),
    ("user@a:80", "host is neither a name nor an IPv4 or IPv6 address: 'user@a'"),
    ("a\0b:80", "host is neither a name nor an IPv4 or IPv6 address: 'a\\x00b'"),
    ("\udcff:80", "host is neither a name nor an IPv4 or IPv6 address: '\\udcff'"),
    ("::1]:80", NO_BRACKETS),
    ("a]:80", "host is neither a name nor an IPv4 or IPv6 address: 'a]'"),
    ("a..b:80", "host has a label that is empty or longer than 63 characters: 'a..b'"),
    ("\u00e9..b:80", "host is not a valid international name: '\u00e9..b'"),
    ("a:80?", "flowinfo is the only parameter that an address can have, not ''"),
    ("a:80?x=1", "flowinfo is the only parameter that an address can have, not 'x=1'"),
    ("[::1]:80?flowinfo", "flowinfo must be a number from 0 to 1048575, not ''"),
    ("[::1]:80?flowinfo=1048576", "flowinfo must be a number from 0 to 1048575, not '1048576'"),
    ("[::1]:80?flowinfo=1?", "flowinfo must be a number from 0 to 1048575, not '1?'"),
    ("a:80?flowinfo=1", "flowinfo and scope_id belong to IPv6 addresses only, not 'a'"),
    ("http://a:80", f"unknown scheme 'http'; {USE}"),
    ("://a:80", f"unknown scheme ''; {USE}"),
    (" tcp://a:80", f"unknown scheme ' tcp'; {USE}"),
    ("unix:", "path must not be empty: ''"),
    ("unix:@", "path must not be empty: '@'"),
    ("unix:/run\0", "path must not contain a NUL character: '/run\\x00'"),
    (
        "unix:\0x",
        "path must not contain a NUL character: '\\x00x': an abstract name is '@x'",
    ),
    ("unix:\ud800", "path cannot be encoded for the file system: '\\ud800'"),
    (
        "unixgram:@" + "x" * 108,
        f"path: an abstract name has at most 107 bytes: '@{'x' * 108}'",
    ),
    ("vsock:", "a VSOCK address is vsock:cid:port"),
    ("vsock:2", "a VSOCK address is vsock:cid:port"),
    ("vsock:2:", "port must be a number from 0 to 4294967295, not ''"),
    ("vsock::2", "cid must be a number from 0 to 4294967295, not ''"),
    ("vsock:host:1", "cid must be a number from 0 to 4294967295, not 'host'"),
    ("vsock:2:1:1", "port must be a number from 0 to 4294967295, not '1:1'"),
    ("vsock:4294967296:1", "cid must be a number from 0 to 4294967295, not '4294967296'"),
    ("vsock://2:1024", "cid must be a number from 0 to 4294967295, not '//2'"),
]


@pytest.mark.parametrize(
    ("text", "why"), REFUSED_TEXTS, ids=[ascii(text)[:40] for text, _ in REFUSED_TEXTS]
)
def test_a_text_that_is_no_address_is_a_value_error_that_says_why(text: str, why: str) -> None:
    message = f"not an address: {text!r}: {why}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        parse_address(text)
    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("thing", "kind", "message"),
    [
        ((), ValueError, "or (host, port, flowinfo, scope_id), not ()"),
        (("a",), ValueError, "not ('a',)"),
        (("::1", 80, 0), ValueError, "not ('::1', 80, 0)"),
        (("::1", 80, 0, 0, 0), ValueError, "not ('::1', 80, 0, 0, 0)"),
        (("a", 70000), ValueError, "port must be from 0 to 65535, not 70000"),
        (("", 80), ValueError, "host must not be empty: ''"),
        (("a", "8o"), ValueError, "not '8o', and no service has that name"),
        (("a", "65536"), ValueError, "port must be a number from 0 to 65535, not '65536'"),
        (("a", ""), ValueError, "port must be a number from 0 to 65535, not ''"),
        (("a", b"\xff"), ValueError, "port must be ASCII if it is bytes, not b'\\xff'"),
        (("a", 80.0), TypeError, "port must be an int, not 80.0"),
        ((b"\xff", 80), ValueError, "host must be ASCII if it is bytes, not b'\\xff'"),
        ((bytearray(b"a"), 80), TypeError, "host must be a str, not bytearray(b'a')"),
        ((["a"], 80), TypeError, "host must be a str, not ['a']"),
        (("a", [80]), TypeError, "port must be an int, not [80]"),
        (b"a:80", TypeError, "a path or an address, not b'a:80'"),
        (None, TypeError, "a path or an address, not None"),
        (80, TypeError, "a path or an address, not 80"),
        (["a", 80], TypeError, "a path or an address, not ['a', 80]"),
        (PathOf(""), ValueError, "path must not be empty"),
        (PathOf("\0"), ValueError, "path must not contain a NUL character"),
    ],
    ids=lambda value: ascii(value) if not isinstance(value, (type, str)) else None,
)
def test_what_is_no_address_is_refused(thing: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"{re.escape(message)}"):
        parse_address(thing)


# --------------------------------------------------------------------------- any address

PORTS = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
LABELS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=63)
NAMES = st.one_of(
    st.lists(LABELS, min_size=1, max_size=4)
    .map(".".join)
    .filter(lambda name: len(name) <= 253)
    .flatmap(lambda name: st.sampled_from([name, f"{name}."])),
    st.sampled_from(["unix", "UNIXGRAM", "unixpacket.", "vsock", "vsoc\u212a", "tcp", "udp"]),
    st.sampled_from(["b\u00fccher.example", "\u4f8b\u3048.\u30c6\u30b9\u30c8", "\u017f"]),
)
ZONES = st.one_of(
    U32.map(str),
    st.text(
        st.characters(exclude_categories=["C", "Z"], exclude_characters='"#%/:<>?@[\\]^`{|}'),
        min_size=1,
    ).filter(lambda zone: not (zone.isascii() and zone.isdecimal())),
)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
ZONED_IPV6 = st.builds("{}%{}".format, IPV6, ZONES)
FLOWINFOS = st.integers(0, 0xFFFFF)
INTERNET_PARTS = st.one_of(
    st.tuples(NAMES | IPV4, PORTS),
    st.tuples(IPV6, PORTS, FLOWINFOS, U32),
    st.tuples(ZONED_IPV6, PORTS, FLOWINFOS),
)
PATHS = (
    st.one_of(
        st.binary(min_size=1).map(os.fsdecode),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.binary(min_size=1, max_size=107).map(lambda name: "@" + os.fsdecode(name)),
    )
    .filter(lambda path: "\0" not in path and path != "@")
    .filter(lambda path: path[0] != "@" or len(os.fsencode(path)) <= 108)
)
UNIX_TYPES = st.sampled_from([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET])
ADDRESSES: st.SearchStrategy[Address] = st.one_of(
    INTERNET_PARTS.map(lambda parts: TCPAddress(*parts)),
    INTERNET_PARTS.map(lambda parts: UDPAddress(*parts)),
    st.builds(UnixAddress, PATHS, UNIX_TYPES),
    st.builds(UnixAddress, PATHS.map(PathOf), UNIX_TYPES),
    st.builds(VsockAddress, U32, U32),
)


@settings(max_examples=300, deadline=None)
@given(ADDRESSES)
def test_every_address_is_the_text_of_itself(address: Address) -> None:
    parsed = parse_address(str(address))
    assert parsed == address
    assert type(parsed) is type(address)
    assert parsed.endpoint == address.endpoint
    assert str(parsed) == str(address)


# ------------------------------------------------------------------------------ any text


def parse_or_refuse(text: str) -> None:
    """Any text is an address that can be written again, or a ValueError that shows it."""
    try:
        address = parse_address(text)
    except ValueError as error:
        refusal = error
    else:
        assert parse_address(str(address)) == address
        return
    assert type(refusal) is ValueError
    assert shown(text) in str(refusal)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters()))  # surrogates included
@example("a" * 100_000)
@example(":" * 100_000)
@example("a:" + "1" * 100_000)
@example("[::1%" + "1" * 100_000 + "]:1")
@example("vsock:" + "1" * 100_000 + ":1")
@example("unix:" + "\udcff" * 100_000)
@example("." * 100_000 + ":1")
@example("\u00e9" * 10_000 + ":1")
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    parse_or_refuse(text)


PIECES = [
    *":/[]%?=.@-\0 \u00e9\u0661\ud800\udcff\uff1a\u3002\u200d",
    *("0", "1", "80", "65536", "4294967296", "::", "::1", "fe80::1", "ffff:1.2.3.4", "127.0.0.1"),
    *("tcp", "udp", "unix", "unixgram", "unixpacket", "vsock", "http", "://", "flowinfo"),
    *("a", "eth0", "x" * 63, "xn--", "localhost"),
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_of_pieces_of_addresses_is_one_or_a_value_error(text: str) -> None:
    parse_or_refuse(text)


@settings(max_examples=500, deadline=None)
@given(ADDRESSES.map(str), st.data())
def test_an_address_with_a_piece_changed_is_one_or_a_value_error(
    text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 3, len(text))))
    piece = data.draw(st.just("") | st.sampled_from(PIECES) | st.text(max_size=3))
    parse_or_refuse(text[:start] + piece + text[end:])


# ------------------------------------------------------------------------------ sockaddrs


@pytest.mark.parametrize(
    ("family", "sockaddr", "text"),
    [
        (AF_INET, ("127.0.0.1", 80), "127.0.0.1:80"),
        (AF_INET6, ("::1", 80), "[::1]:80"),
        (AF_INET6, ("::1", 80, 7, 0), "[::1]:80"),
        (AF_INET6, ("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
        (AF_INET6, ("::1", 80, 7), "[::1]:80"),
        (AF_VSOCK, (2, 1024), "vsock:2:1024"),
        (socket.AF_NETLINK, (1, 2), "1:2"),
        (AF_INET, ("127.0.0.1",), "('127.0.0.1',)"),
        (AF_INET, (), "()"),
        (AF_UNIX, "/run/x", "unix:/run/x"),
        (AF_UNIX, b"/run/\xff", r"unix:/run/\udcff"),
        (AF_UNIX, "/run/x\nroot logged in\x1b[2J", r"unix:/run/x\nroot logged in\x1b[2J"),
        (AF_UNIX, b"\0x", "unix:@x"),
        (AF_UNIX, "@x", "unix:./@x"),
        (AF_UNIX, b"\0\xff", r"unix:@\udcff"),
        (AF_UNIX, "\0x", "unix:@x"),
        (AF_UNIX, "", "''"),
        (AF_UNIX, b"", "b''"),
        (AF_INET, None, "unknown peer"),
    ],
    ids=ascii,
)
def test_a_resolved_address_as_text(family: int, sockaddr: Any, text: str) -> None:
    assert format_sockaddr(family, sockaddr) == text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        ("/run/\u00e9", "/run/\u00e9"),
        ("\u00e9\\\n", "\u00e9\\\\n"),
        (" \0\x7f\x85\u200b\u2028\udcff", r" \x00\x7f\x85\u200b\u2028\udcff"),
    ],
    ids=ascii,
)
def test_what_is_not_printable_is_escaped_and_nothing_else(text: str, printed: str) -> None:
    assert printable(text) == printed
    assert printed.isprintable()
