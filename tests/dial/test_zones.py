"""IPv6 zones in the host of a sockaddr: in lists of getaddrinfo() results, and from resolvers."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import uvloop
from support.listeners import listening
from support.netns import in_new_network, ip

from aconnect import Batch, ConnectError, Dialer, Endpoint, aconnect, connect_socket
from aconnect.addresses.text import host_of_url
from aconnect.resolvers.answers import check_batch, in_order, of_family

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KINDS = [
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
]
INDEX, NAME = socket.if_nameindex()[0]


class Giving:
    """A resolver that gives these endpoints, which are not sorted."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.endpoints = endpoints

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        yield Batch(self.endpoints)


def forms(host: str, port: int, zone: str) -> list[tuple[Any, ...]]:
    zones = (zone, socket.if_nametoindex(zone))
    return [(f"{host}%{each}", port, *more) for each in zones for more in ((), (0, 0))]


@contextmanager
def bound(host: str, type: int, zone: str) -> Iterator[int]:
    with socket.socket(socket.AF_INET6, type) as sock:
        sock.bind((host, 0, 0, socket.if_nametoindex(zone)))
        if type == socket.SOCK_STREAM:
            sock.listen()
        yield sock.getsockname()[1]


async def check(host: str, type: int, proto: int, zone: str) -> None:
    """Connect to a socket that is bound to the host, by all forms of its address."""
    with bound(host, type, zone) as port:
        for sockaddr in forms(host, port, zone):
            results: list[Any] = [(socket.AF_INET6, type, proto, "", sockaddr)]
            giving = Dialer(resolver=Giving(Endpoint(socket.AF_INET6, type, proto, sockaddr)))
            name = "tcp://a.example:1" if type == socket.SOCK_STREAM else "udp://a.example:1"
            for dialing in (aconnect(results), aconnect(results * 2), giving.connect(name)):
                with await dialing as sock:
                    assert sock.getpeername()[:2] == (host, port)
            with socket.socket(socket.AF_INET6, type) as own:
                own.setblocking(False)
                await connect_socket(own, sockaddr)


@pytest.mark.anyio
@pytest.mark.parametrize(("type", "proto"), KINDS)
async def test_every_form_connects(anyio_backend: Any, type: int, proto: int) -> None:
    await check("::1", type, proto, NAME)


@pytest.mark.root
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip(8), Debian's iproute2")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run, lambda main: trio.run(lambda: main)])
@pytest.mark.parametrize(("type", "proto"), KINDS)
def test_to_a_link_local_address(run: Any, type: int, proto: int) -> None:
    async def main() -> None:
        # To loopback itself a route may be missing for a moment.
        ip("link", "add", "zone0", "type", "veth", "peer", "name", "zone1")
        ip("link", "set", "zone1", "up")
        ip("link", "set", "zone0", "up")
        ip("address", "add", "fe80::1/64", "dev", "zone0", "nodad")
        index = socket.if_nametoindex("zone0")
        await check("fe80::1", type, proto, "zone0")
        if run is not uvloop.run:  # whose getaddrinfo() loses the zone
            with bound("fe80::1", type, "zone0") as port:
                found = await anyio.getaddrinfo(f"fe80::1%{index}", port, type=type)
                with await aconnect(found) as sock:
                    assert sock.getpeername() == ("fe80::1", port, 0, index)

    in_new_network(lambda: run(main()))


@pytest.mark.anyio
class TestAZoneThatIsNoInterface:
    NOWHERE = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    SOCKADDR = ("fe80::1%nowhere", 80)

    async def test_is_a_failed_attempt(self, anyio_backend: Any) -> None:
        endpoint = Endpoint(*self.NOWHERE, self.SOCKADDR)
        asked = Dialer(permit=lambda _: True)
        results: list[Any] = [(*self.NOWHERE, "", self.SOCKADDR)]
        giving = Dialer(resolver=Giving(endpoint))
        for dialing in (
            aconnect(results),
            asked.connect(results),
            giving.connect("a.example:80"),
        ):
            with pytest.raises(ConnectError) as raised:
                await dialing
            [record] = raised.value.attempts
            assert (record.errno, record.peer) == (errno.ENODEV, "[fe80::1%nowhere]:80")
            assert "ENODEV: this machine has no network interface with that name" in str(
                raised.value
            )

    async def test_leaves_the_others(self, anyio_backend: Any) -> None:
        with listening("::1") as listener:
            there = (*self.NOWHERE, "", listener.getsockname())
            with await aconnect([(*self.NOWHERE, "", self.SOCKADDR), there]) as sock:
                assert sock.getpeername() == listener.getsockname()


def test_a_name_is_not_looked_up_to_sort() -> None:
    nowhere = Endpoint(10, 1, 6, ("fe80::1%nowhere", 80, 0, 0))._replace(family=socket.AF_INET6)
    here = nowhere._replace(sockaddr=(f"::1%{NAME}", 80))
    batch = check_batch(Batch([nowhere, here]))
    assert in_order(of_family(batch, socket.AF_UNSPEC)) == [
        here._replace(sockaddr=("::1", 80, 0, INDEX)),
        nowhere,
    ]


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("fe80::1%25lo", "fe80::1%lo"),
        ("fe80::1%251", "fe80::1%1"),
        ("fe80::1%2525", "fe80::1%25"),
        ("fe80::1%lo", "fe80::1%lo"),
        ("fe80::1%25", "fe80::1%25"),
        ("fe80::1", "fe80::1"),
        ("a%25b.example", "a%25b.example"),
        ("a.example", "a.example"),
    ],
)
def test_the_host_of_a_url(host: str, meant: str) -> None:
    assert host_of_url(host) == meant
