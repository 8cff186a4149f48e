"""How many calls of a socket the talk with a proxy takes."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import LOOPS_AND_DRIVERS
from support.fake_proxy import BOUND, GREETING, HEAD, HOLD, LOGIN, FakeProxy, socks5_request

from aconnect import Dialer, ProxyHeader

if TYPE_CHECKING:
    from collections.abc import Callable

    from aconnect import Endpoint

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS_AND_DRIVERS, indirect=True),
]

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
ASK = socks5_request(TARGET[0])
OK = b"HTTP/1.1 200 OK\r\n\r\n"


class Counting(socket.socket):
    """One that notes what is sent, and what is received by how many calls."""

    sent: list[bytes]
    received: list[tuple[bytes, bool]]  # the data, and whether it stays there
    then: Callable[[], object] | None = None  # called when something has been taken

    def send(self, data: Any, *args: Any) -> int:
        count = super().send(data, *args)
        self.sent.append(bytes(data[:count]))
        return count

    def recv(self, size: int, flags: int = 0) -> bytes:
        data = super().recv(size, flags)
        looked = bool(flags & socket.MSG_PEEK)
        self.received.append((data, looked))
        if not looked and self.then is not None:
            self.then()
        return data


def counting(made: list[Counting], then: Callable[[], object] | None = None) -> Any:
    def factory(endpoint: Endpoint) -> socket.socket:
        sock = Counting(endpoint.family, endpoint.type, endpoint.proto)
        sock.sent, sock.received, sock.then = [], [], then
        made.append(sock)
        return sock

    return factory


LONG_LOGIN = "u" * 255 + ":" + "p" * 255 + "@"


@pytest.mark.parametrize(
    ("scheme", "login", "script", "messages"),
    [
        ("socks4a", "me@", [8 + 3 + 11, b"\x00\x5a" + bytes(6)], 1),
        ("socks5h", "", [*GREETING, ASK, BOUND], 2),
        ("socks5h", LONG_LOGIN, [*LOGIN, 3 + 510, b"\x01\x00", ASK, BOUND], 3),
        ("http", LONG_LOGIN, [HEAD, OK], 1),
    ],
)
async def test_p7_each_message_is_one_write(
    scheme: str, login: str, script: list[Any], messages: int
) -> None:
    made: list[Counting] = []
    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=proxy.url(scheme, login), socket_factory=counting(made))
        with await dialer.connect(TARGET, timeout=LONG):
            pass
    assert len(made[0].sent) == messages
    assert b"".join(made[0].sent) == proxy.heard[0]


@pytest.mark.parametrize(
    "header",
    [
        ProxyHeader(1),
        ProxyHeader(2, authority="db.example", unique_id=b"x" * 128, tlvs=[(0xE0, b"y" * 900)]),
    ],
    ids=["v1", "v2"],
)
async def test_x1_a_header_is_one_write(header: ProxyHeader) -> None:
    made: list[Counting] = []
    with FakeProxy([HOLD]) as target:
        dialer = Dialer(proxy=header, socket_factory=counting(made))
        with await dialer.connect(target.address, timeout=LONG) as sock:
            expected = header.encode(sock.getsockname(), sock.getpeername())
    assert made[0].sent == [expected]
    assert not made[0].received


@pytest.mark.parametrize("segments", [[OK], [OK[:9], OK[9:]], [OK[:1], OK[1:12], OK[12:]]])
async def test_a_segment_of_a_head_is_looked_at_and_taken(segments: list[bytes]) -> None:
    """Two calls for each: it is not read byte by byte."""
    made: list[Counting] = []
    gates = [threading.Event() for _ in segments[1:]]
    script: list[Any] = [HEAD, segments[0]]
    for gate, segment in zip(gates, segments[1:], strict=True):
        script += [gate, segment]
    closed = iter(gates)

    def go_on() -> None:
        gate = next(closed, None)
        if gate is not None:
            gate.set()

    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=proxy.url("http"), socket_factory=counting(made, go_on))
        with await dialer.connect(TARGET, timeout=LONG):
            pass
    assert made[0].received == [(each, looked) for each in segments for looked in (True, False)]


async def test_what_the_target_says_is_not_taken_with_the_head() -> None:
    made: list[Counting] = []
    with FakeProxy([HEAD, OK + b"banner"]) as proxy:
        dialer = Dialer(proxy=proxy.url("http"), socket_factory=counting(made))
        with await dialer.connect(TARGET, timeout=LONG) as sock:
            assert made[0].received[-1] == (OK, False)
            with anyio.fail_after(LONG):
                await anyio.wait_readable(sock)
            assert sock.recv(99) == b"banner"
