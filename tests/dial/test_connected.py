"""Connected means connected, whatever connect(2) says, and whoever has had the socket before."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import anyio
import pytest
from support.listeners import LOOPBACK, listening, refusing
from support.netns import in_new_network

from aconnect import (
    ConnectError,
    Dialer,
    StaticResolver,
    connect_socket,
    create_datagram_endpoint,
)

pytestmark = pytest.mark.anyio

TCP_FASTOPEN_CONNECT = 30
NO_COOKIE = "5"  # net.ipv4.tcp_fastopen: clients, and without having got a cookie before


async def failure(call: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught, await call:
        pass
    return caught.value


def infos(*addresses: Any, type: int = socket.SOCK_STREAM) -> list[Any]:
    return [(socket.AF_INET, type, 0, "", address) for address in addresses]


class TestPortZero:
    """A datagram socket has no peer there, though connect(2) says 0."""

    @pytest.mark.parametrize("options", [{}, {"trace": print}, {"on_socket": lambda *_: None}])
    @pytest.mark.parametrize(
        "address",
        [
            f"udp://{LOOPBACK}:0",
            "udp://[::1]:0",
            "udp://name.example:0",
            infos((LOOPBACK, 0), type=socket.SOCK_DGRAM),
            infos((LOOPBACK, 0), ("127.0.0.2", 0), type=socket.SOCK_DGRAM),
        ],
        ids=str,
    )
    async def test_a_dial(self, address: Any, options: Any) -> None:
        resolver = StaticResolver({"name.example": [LOOPBACK]})
        error = await failure(Dialer(resolver=resolver, **options).connect(address, timeout=30))
        assert error.errno == errno.ENOTCONN
        assert {each.errno for each in error.attempts} == {errno.ENOTCONN}
        assert "UDP has none at port 0" in str(error)

    @pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
    async def test_a_callers_socket(self, family: int) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            host = LOOPBACK if family == socket.AF_INET else "::1"
            with pytest.raises(ConnectError) as caught:
                await connect_socket(sock, (host, 0))
            assert caught.value.errno == errno.ENOTCONN
            await connect_socket(sock, (host, 9))
            assert sock.getpeername()[:2] == (host, 9)

    async def test_an_endpoint(self, anyio_backend: Any) -> None:
        if anyio_backend[0] != "asyncio":
            pytest.skip("of asyncio")
        with pytest.raises(ConnectError) as caught:
            await create_datagram_endpoint(asyncio.DatagramProtocol, f"udp://{LOOPBACK}:0")
        assert caught.value.errno == errno.ENOTCONN


def fast_open(sock: socket.socket, _: object) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)


@pytest.mark.root
@pytest.mark.parametrize("spare", [False, True])
def test_what_sends_nothing_has_not_won(spare: bool) -> None:
    """TCP_FASTOPEN_CONNECT, set by a hook: connect(2) says 0, of a dead port as well."""

    async def dial() -> None:
        with refusing() as dead, listening() as listener:
            alive = listener.getsockname()

            def hook(sock: socket.socket, endpoint: Any) -> None:
                if endpoint.sockaddr == dead:
                    fast_open(sock, endpoint)

            dialer = Dialer(on_socket=hook)
            if spare:
                with await dialer.connect(infos(dead, alive), timeout=30) as sock:
                    assert sock.getpeername() == alive
            else:
                error = await failure(dialer.connect(dead, timeout=30))
                assert error.errno == errno.ENOTCONN
                assert "TCP_FASTOPEN_CONNECT" in str(error)

    def body() -> None:
        with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as file:
            file.write(NO_COOKIE)
        for backend in ("asyncio", "trio"):
            anyio.run(dial, backend=backend)

    in_new_network(body)
