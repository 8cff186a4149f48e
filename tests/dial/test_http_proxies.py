"""Dials by way of HTTP proxies, with PROXY headers, and by mixed chains."""

from __future__ import annotations

import errno
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import LOOPS_AND_DRIVERS
from support.fake_proxy import (
    CLOSE,
    GREETING,
    HEAD,
    HOLD,
    RESET,
    Drip,
    FakeProxy,
    fake_elsewhere,
    socks5_request,
)
from support.listeners import listening
from support.scenarios import ASYNCIO_LOOPS as LOOPS_TO_STEP
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

from aconnect import (
    AddressNotPermitted,
    ConnectTimeout,
    Dialer,
    HandshakeError,
    Proxy,
    ProxyError,
    ProxyHeader,
    Report,
    StaticResolver,
)
from aconnect.policy import public_only
from aconnect.sansio.negotiation import Refusal

if TYPE_CHECKING:
    import socket

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS_AND_DRIVERS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
BANNER = b"SSH-2.0-banner\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
SOCKS_OK = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


async def received(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            data += sock.recv(count - len(data))
        except BlockingIOError:
            await anyio.wait_readable(sock)
    return data


@pytest.mark.parametrize(
    "answer", [OK + BANNER, Drip(OK + BANNER), b"HTTP/1.1 100 C\r\n\r\n" + OK + BANNER]
)
async def test_p6_what_the_target_says_is_left_to_it(answer: bytes) -> None:
    with FakeProxy([HEAD, answer]) as proxy:
        report = Report()
        dialer = Dialer(proxy=proxy.url("http", "u:p@"), trace=report)
        with await dialer.connect(TARGET, timeout=LONG) as sock:
            assert await received(sock, len(BANNER)) == BANNER
    head = bytes(proxy.heard[0])
    assert head.startswith(b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n")
    assert b"Proxy-Authorization: Basic dTpw\r\n" in head
    assert [each.name for each in report.attempts[0].handshakes] == ["HTTP CONNECT"]


async def test_with_local_dns() -> None:
    with FakeProxy([HEAD, OK]) as proxy:
        dialer = Dialer(
            proxy=Proxy("http", proxy.address, dns="local", headers=[("X-A", "b")]),
            resolver=StaticResolver({"db.example": ["2001:db8::7"]}),
        )
        with await dialer.connect(TARGET, timeout=LONG):
            pass
    assert b"CONNECT [2001:db8::7]:5432 HTTP/1.1\r\n" in proxy.heard[0]
    assert b"X-A: b\r\n" in proxy.heard[0]


@pytest.mark.parametrize(
    ("answer", "code", "about", "said"),
    [
        (b"HTTP/1.1 503 Down\r\n\r\n", errno.EHOSTUNREACH, "target", "the proxy says 503 Down"),
        (b"HTTP/1.1 407 A\r\n\r\n", errno.EACCES, "proxy", "wants a login"),
        (b"HTTP/1.1 504 Late\r\n\r\n", errno.ETIMEDOUT, "target", "the proxy's own"),
        (b"\x05\xff", errno.EPROTO, "proxy", "a server of SOCKS5"),
        (b"", errno.ECONNRESET, "proxy", "has hung up"),
    ],
)
async def test_u_refusals(answer: bytes, code: int, about: str, said: str) -> None:
    with FakeProxy([HEAD, answer + b"<body>" * bool(answer), CLOSE]) as proxy:
        with pytest.raises(ProxyError, match=said) as caught:
            await Dialer(proxy=proxy.url("http")).connect(TARGET, timeout=LONG)
    error = caught.value
    assert (error.errno, error.about) == (code, about)
    assert isinstance(error, ConnectTimeout) is (code == errno.ETIMEDOUT)
    assert isinstance(error.__cause__, Refusal)
    assert error.reply == error.__cause__.reply


async def test_u_silence() -> None:
    with FakeProxy([HOLD]) as proxy:
        with pytest.raises(ConnectTimeout, match="no answer to the CONNECT request: is http"):
            await Dialer(proxy=proxy.url("http")).connect(TARGET, timeout=0.1)


async def test_l2_a_name_is_refused_where_there_is_a_policy() -> None:
    with pytest.raises(AddressNotPermitted, match='dns="local"'):
        await Dialer(proxy="http://127.0.0.1:1", permit=public_only()).connect(TARGET)


async def test_without_h11_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aconnect.sansio.http_connect", None)
    with pytest.raises(ImportError, match="proxy"):
        Dialer(proxy="http://h")


async def test_p4_a_chain_of_both_kinds() -> None:
    script = [*GREETING, socks5_request("second.example"), SOCKS_OK, HEAD, OK + BANNER]
    with FakeProxy(script) as proxy:
        dialer = Dialer(proxy=[proxy.url(), "http://second.example:3128"])
        with await dialer.connect(TARGET, timeout=LONG) as sock:
            assert await received(sock, len(BANNER)) == BANNER
    assert b"CONNECT db.example:5432 HTTP/1.1" in proxy.heard[0]


class TestHeaders:
    async def test_p5_alone_it_is_for_the_target(self) -> None:
        with FakeProxy([HOLD]) as target:
            dialer = Dialer(proxy=ProxyHeader(1))
            with await dialer.connect(target.address, timeout=LONG) as sock:
                here, there = sock.getsockname(), sock.getpeername()
            await wait_for(target, b"\r\n")
        line = f"PROXY TCP4 {here[0]} {there[0]} {here[1]} {there[1]}\r\n".encode()
        assert bytes(target.heard[0]) == line

    async def test_p5_its_place_says_who_gets_it(self) -> None:
        first = ProxyHeader(2, local=True)
        size = len(first.encode(None, None))
        script = [size, *GREETING, 18, SOCKS_OK, HOLD]
        with FakeProxy(script) as proxy:
            report = Report()
            last = ProxyHeader(1, source="192.0.2.1:1", destination="192.0.2.2:2")
            dialer = Dialer(proxy=[first, proxy.url(), last], trace=report)
            with await dialer.connect(("db.example.x", 1), timeout=LONG):
                pass
            await wait_for(proxy, b"1 2\r\n")
        heard = bytes(proxy.heard[0])
        assert heard.startswith(first.encode(None, None) + b"\x05\x01\x00")
        assert heard.endswith(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        names = [(each.name, each.phase) for each in report.attempts[0].handshakes]
        assert names == [("PROXY v2", "proxy"), ("SOCKS5", "proxy"), ("PROXY v1", "proxy")]

    async def test_x1_what_does_not_fit_the_socket_is_its_failure(self) -> None:
        with listening() as target:
            dialer = Dialer(proxy=ProxyHeader(source="[2001:db8::1]:1"))
            with pytest.raises(HandshakeError, match="of one family"):
                await dialer.connect(target.getsockname(), timeout=LONG)

    async def test_it_is_for_streams(self) -> None:
        with pytest.raises(ValueError, match="needs a stream socket"):
            await Dialer(proxy=ProxyHeader()).connect("udp://127.0.0.1:9")

    async def test_l1_the_target_is_judged(self) -> None:
        with listening() as target:
            dialer = Dialer(proxy=ProxyHeader(), permit=public_only())
            with pytest.raises(AddressNotPermitted):
                await dialer.connect(target.getsockname(), timeout=LONG)

    async def test_by_name(self) -> None:
        with FakeProxy([HOLD]) as target:
            dialer = Dialer(
                proxy=ProxyHeader(1), resolver=StaticResolver({"db.example": ["127.0.0.1"]})
            )
            with await dialer.connect(("db.example", target.port), timeout=LONG):
                pass


async def wait_for(proxy: FakeProxy, end: bytes) -> None:
    with anyio.fail_after(LONG):
        while not (proxy.heard and proxy.heard[0].endswith(end)):
            await anyio.sleep(0.001)


class ByProxies(Scenario):
    """Proxies whose answers come byte by byte."""

    port: int
    then: list[Any]

    def start(self) -> Any:
        chain = [f"http://u:p@127.0.0.1:{self.port}", *self.then]
        return Dialer(proxy=chain).connect(TARGET, timeout=LONG)


HOP = socks5_request("second.example")
SCENES: dict[str, tuple[list[Any], list[Any]]] = {
    "HTTP": ([HEAD, Drip(OK)], []),
    "HTTP, reset": ([HEAD, Drip(OK[:20]), RESET], []),
    "HTTP, hung up": ([HEAD, Drip(OK[:20]), CLOSE], []),
    "HTTP, refused": ([HEAD, Drip(b"HTTP/1.1 403 F\r\n\r\n")], []),
    "HTTP, then SOCKS5, then a header": (
        [HEAD, OK, 3, Drip(b"\x05\x00"), 17, Drip(SOCKS_OK)],
        ["socks5h://second.example", ProxyHeader(local=True)],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("new_loop", LOOPS_TO_STEP)
def test_p8_cancelled_at_every_step(
    scene: str, new_loop: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        scenario = ByProxies(stack, monkeypatch, tmp_path)
        script, scenario.then = SCENES[scene]
        scenario.port = stack.enter_context(fake_elsewhere(script))
        cancel_at_every_step(new_loop, scenario)


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_p8_cancelled_at_every_step_of_trio(scene: str, monkeypatch: Any, tmp_path: Any) -> None:
    with ExitStack() as stack:
        scenario = ByProxies(stack, monkeypatch, tmp_path)
        script, scenario.then = SCENES[scene]
        scenario.port = stack.enter_context(fake_elsewhere(script))
        cancel_at_every_step_of_trio(scenario)
