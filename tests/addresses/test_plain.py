"""What is kept of a subclass of str, bytes or int, such as an enum: plain values."""

from __future__ import annotations

import enum
import socket
import ssl
from pathlib import PurePosixPath
from typing import Any

import pytest

from aconnect import (
    ConnectError,
    Dialer,
    Keepalive,
    SocketOption,
    StaticResolver,
    TCPAddress,
    UDPAddress,
    UnixAddress,
    VsockAddress,
    connect_socket,
    parse_address,
)
from aconnect.addresses.literal import endpoints_of_results
from aconnect.addresses.target import target_of
from aconnect.handshakes.tls import settings
from aconnect.policy import allow
from aconnect.sansio.value import plain


class Host(str, enum.Enum):  # noqa: UP042  # StrEnum is plain enough
    DB = "db"
    HOME = "127.0.0.1"
    LINK = "fe80::1%2"
    TEXT = "db:5432"
    PATH = "/run/x.sock"


class Port(int, enum.Enum):
    DB = 5432


class Count(int, enum.Enum):
    FEW = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "loud"

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class LoudBytes(bytes):
    pass


class LoudFloat(float):
    __slots__ = ()

    def __str__(self) -> str:
        return "loud"


def parts(value: Any) -> list[Any]:
    """All that a value holds, whatever holds it."""
    if isinstance(value, (tuple, list)):
        return [part for each in value for part in parts(each)]
    held = getattr(value, "__match_args__", ())
    return [part for name in held for part in parts(getattr(value, name))] if held else [value]


PLAIN = {str, int, bytes, float, bool, type(None), socket.AddressFamily, socket.SocketKind}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (TCPAddress(Host.DB, Port.DB), "db:5432"),
        (TCPAddress(Loud("db"), Port.DB), "db:5432"),
        (UDPAddress(Host.LINK, Port.DB, Port.DB), "udp://[fe80::1%2]:5432?flowinfo=5432"),
        (TCPAddress("fe80::1", 1, scope_id=Port.DB), "[fe80::1%5432]:1"),
        (TCPAddress(Loud("fe80::1%lo"), Port.DB), "[fe80::1%lo]:5432"),
        (UnixAddress(Host.PATH), "unix:/run/x.sock"),
        (UnixAddress(PurePosixPath(Host.PATH.value)), "unix:/run/x.sock"),
        (VsockAddress(Port.DB, Port.DB), "vsock:5432:5432"),
        (parse_address(Host.TEXT), "db:5432"),
        (parse_address((Host.DB, Port.DB)), "db:5432"),
        (target_of(Host.TEXT).address, "db:5432"),
        (target_of((Host.DB, Port.DB)).address, "db:5432"),
    ],
)
def test_addresses(value: Any, text: str) -> None:
    assert str(value) == text
    assert {type(part) for part in parts(value)} <= PLAIN


@pytest.mark.parametrize(
    ("family", "sockaddr"),
    [
        (socket.AF_INET, (Host.HOME, Port.DB)),
        (socket.AF_INET6, (Host.LINK, Port.DB)),
        (socket.AF_INET6, (Loud("fe80::1%lo"), Port.DB, Port.DB, 0)),
        (socket.AF_UNIX, Host.PATH),
        (socket.AF_UNIX, LoudBytes(b"/run/x")),
        (socket.AF_VSOCK, (Port.DB, Port.DB)),
    ],
)
def test_sockaddrs_of_results(family: int, sockaddr: Any) -> None:
    [endpoint] = endpoints_of_results([(family, socket.SOCK_STREAM, 0, "", sockaddr)])
    assert {type(part) for part in parts(endpoint.sockaddr)} <= PLAIN


@pytest.mark.parametrize(
    "value",
    [
        Keepalive(Port.DB, Port.DB, Count.FEW),
        SocketOption(Port.DB, Port.DB, Port.DB, family=Port.DB, type=Port.DB),
        SocketOption(1, 2, LoudBytes(b"x")),
        Dialer(interface=Loud("lo"), mark=Port.DB, user_timeout=LoudFloat(2)),
        Dialer(local_address=(Host.HOME, Port.DB)),
        Dialer(local_address=[Host.HOME, Loud("::1")]),
    ],
)
def test_options(value: Any) -> None:
    if isinstance(value, Dialer):
        value = (value.interface, value.mark, value.user_timeout, value.local_address)
    assert {type(part) for part in parts(value)} <= PLAIN


def test_the_rest() -> None:
    assert repr(allow(Host.HOME, ports=Port.DB)) == "allow('127.0.0.1/32', ports=5432)"
    tls = settings(ssl.create_default_context(), Host.DB, None, None)
    assert tls is not None
    assert type(tls.server_hostname) is str
    resolver = StaticResolver({Host.DB: [Host.HOME]})
    assert {type(each) for each in resolver._addresses["db"]} == {str}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("family", "sockaddr"),
    [
        (socket.AF_INET, (Host.HOME, Port.DB)),
        (socket.AF_UNIX, Loud("/no/such")),
        (socket.AF_UNIX, LoudBytes(b"/no/such")),
        (socket.AF_NETLINK, (Port.DB, Port.DB)),
    ],
)
async def test_sockaddrs_of_primitives(anyio_backend: Any, family: int, sockaddr: Any) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.close()
        with pytest.raises(ConnectError) as raised:
            await connect_socket(sock, sockaddr)
    assert {type(part) for part in parts(raised.value.address)} <= PLAIN


def test_a_plain_value_is_itself() -> None:
    for value in ("a", b"a", 5000, 0.5, None, (1, 2)):
        assert plain(value) is value
