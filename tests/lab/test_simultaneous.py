"""A simultaneous open: a SYN of each side, after which neither is connected yet."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from lab.support import Lab, Responder
from support.sockets import SYN_RECV

from aconnect import ConnectTimeout, Dialer, aconnect, connect_socket, wait_connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.support import Host

pytestmark = [pytest.mark.lab, pytest.mark.root]

LONG = 30  # seconds; what takes as long has failed
SHORT = 0.4

Client = tuple["Host", Responder]


@pytest.fixture
def client() -> Iterator[Client]:
    with Lab() as lab:
        host = lab.host("client")
        with Responder(host) as responder:
            yield host, responder


def state(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


async def half_open(host: Host) -> socket.socket:
    """A socket in SYN_RECV, of which getpeername() says that it has a peer."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(Responder.address)
    until = time.monotonic() + LONG
    while state(sock) != SYN_RECV:
        assert time.monotonic() < until
        await anyio.sleep(0.001)
    assert sock.getpeername() == Responder.address
    return sock


def a_race(timeout: float) -> Any:
    addresses = [(Responder.address[0], Responder.address[1] + number) for number in range(2)]
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    return Dialer(attempt_delay=0.1).connect(infos, timeout=timeout)


async def on_a_socket(timeout: float) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await connect_socket(sock, Responder.address, timeout=timeout)
    except BaseException:
        sock.close()
        raise
    return sock


CALLS: list[Any] = [
    pytest.param(lambda timeout: aconnect(Responder.address, timeout=timeout), id="alone"),
    pytest.param(a_race, id="race"),
    pytest.param(on_a_socket, id="socket"),
]


@pytest.mark.parametrize("call", CALLS)
def test_it_is_no_connection_until_both_have_acknowledged(
    client: Client, loop: Any, call: Callable[[float], Any]
) -> None:
    host, responder = client

    async def main() -> None:
        with pytest.raises(ConnectTimeout):
            await call(SHORT)
        responder.acknowledge()
        with await call(LONG) as sock:
            assert state(sock) == 1

    host.run(main, loop)


def test_a_caller_waits_for_the_rest_of_it(client: Client, loop: Any) -> None:
    host, responder = client

    async def main() -> None:
        with await half_open(host) as sock:
            with pytest.raises(ConnectTimeout):
                await wait_connected(sock, timeout=SHORT)
            async with anyio.create_task_group() as group:
                group.start_soon(partial(wait_connected, sock, timeout=LONG))
                await anyio.sleep(0.01)
                responder.acknowledge()  # what it is sent again
            assert state(sock) == 1

    host.run(main, loop)


def test_in_a_race_a_good_address_wins(client: Client, loop: Any) -> None:
    host, _ = client
    with host.listen("127.0.0.1") as listener:
        good = listener.getsockname()

        async def main() -> None:
            infos = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
                for address in (Responder.address, good)
            ]
            with await Dialer(attempt_delay=0.2).connect(infos, timeout=LONG) as sock:
                assert sock.getpeername() == good

        host.run(main, loop)
