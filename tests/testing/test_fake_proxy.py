"""A fake proxy: what it does, and what programs that dial through one come across."""

from __future__ import annotations

import errno
import gc
import socket
import struct
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aconnect import ConnectTimeout, ProxyError, Report
from aconnect.testing import Answer, FakeNetwork, FakeProxy, VirtualClock
from aconnect.testing.timers import call_later

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = ("db.example", 5432)
SCHEMES = ["socks4", "socks4a", "socks5", "socks5h", "http"]


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        network.add("db.example", "192.0.2.7")
        yield network
    gc.collect()


async def received(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            data += sock.recv(count - len(data))
        except BlockingIOError:
            await anyio.wait_readable(sock)
    return data


@pytest.mark.anyio
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_it_connects(scheme: str, split: bool, network: FakeNetwork) -> None:
    answer = Answer("connects", split=split, surplus=b"hello")
    proxy = FakeProxy(network, answer, scheme=scheme)
    with await network.dialer(proxy=proxy.url).connect(TARGET, timeout=30) as sock:
        assert await received(sock, 5) == b"hello"
        sock.send(b"ping")
        with proxy.accept() as far:
            assert await received(far, 4) == b"ping"
            far.send(b"pong")
            assert await received(sock, 4) == b"pong"
        with pytest.raises(BlockingIOError):
            proxy.accept()
    [talk] = proxy.heard
    by_name = b"db.example" in talk
    assert by_name is (scheme in ("socks4a", "socks5h", "http"))
    assert b"ping" not in talk


TALKS = {
    "socks4": b"\x04\x01\x00\x50\xc0\x00\x02\x07me\0",
    "socks4a": b"\x04\x01\x00\x50\0\0\0\x01me\0db.example\0",
    "socks5": b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50",
    "socks5h": b"\x05\x02\x00\x02\x01\x01u\x01p\x05\x01\x00\x03\x0adb.example\x00\x50",
    "http": b"CONNECT db.example:80 HTTP/1.1\r\nHost: db.example:80\r\n\r\n",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_while_it_is_being_asked_there_is_no_target(scheme: str, network: FakeNetwork) -> None:
    proxy = FakeProxy(network, scheme=scheme)
    near, far = socket.socketpair()
    far.setblocking(False)
    proxy._meet(far)
    with near:
        for byte in TALKS[scheme]:
            with pytest.raises(BlockingIOError):
                proxy.accept()
            near.send(bytes([byte]))
        near.send(b"ping")
        with proxy.accept() as target:
            assert target.recv(10) == b"ping"


@pytest.mark.anyio
async def test_with_a_login(network: FakeNetwork) -> None:
    proxy = FakeProxy(network, ["connects", "login"], scheme="socks5h", login=True)
    url = proxy.url.replace("//", "//alice:s3cret@")
    with await network.dialer(proxy=url).connect(TARGET, timeout=30) as sock:
        sock.send(b"x")
        with proxy.accept() as far:
            assert await received(far, 1) == b"x"
    assert b"alice" in proxy.heard[0]
    with pytest.raises(PermissionError):
        await network.dialer(proxy=url).connect(TARGET, timeout=30)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("what", "scheme", "code", "about"),
    [
        *(("refused", each, errno.ECONNREFUSED, "target") for each in SCHEMES),
        ("unreachable", "socks5h", errno.EHOSTUNREACH, "target"),
        ("unreachable", "http", errno.EHOSTUNREACH, "target"),
        ("forbidden", "socks5", errno.EACCES, "target"),
        ("forbidden", "http", errno.EACCES, "target"),
        ("login", "socks4", errno.EACCES, "proxy"),
        ("login", "socks5", errno.EACCES, "proxy"),
        ("login", "http", errno.EACCES, "proxy"),
        *(("garbage", each, errno.EPROTO, "proxy") for each in SCHEMES),
        *(("closes", each, errno.ECONNRESET, "proxy") for each in SCHEMES),
        (b"HTTP/1.1 503 Down\r\n\r\n", "http", errno.EHOSTUNREACH, "target"),
    ],
)
async def test_what_it_does_not_do(
    what: str | bytes, scheme: str, code: int, about: str, network: FakeNetwork
) -> None:
    proxy = FakeProxy(network, what, scheme=scheme)
    with pytest.raises(ProxyError) as caught:
        await network.dialer(proxy=proxy.url).connect(TARGET, timeout=30)
    assert (caught.value.errno, caught.value.about) == (code, about)
    with pytest.raises(BlockingIOError):
        proxy.accept()


@pytest.mark.anyio
async def test_one_answer_after_the_other(network: FakeNetwork) -> None:
    proxy = FakeProxy(network, [Answer("connects", after=0.01), "forbidden"])
    dialer = network.dialer(proxy=proxy.url)
    (await dialer.connect(TARGET, timeout=30)).close()
    for _ in range(2):
        with pytest.raises(ProxyError, match="403 Forbidden"):
            await dialer.connect(TARGET, timeout=30)
    assert len(proxy.heard) == 3
    assert all(each.startswith(b"CONNECT db.example:5432 ") for each in proxy.heard)


BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_silence(backend: str, network: FakeNetwork) -> None:
    async def main() -> None:
        with pytest.raises(ConnectTimeout, match="no answer to the CONNECT request"):
            await network.dialer(proxy=proxy.url).connect(TARGET, timeout=5)

    proxy = FakeProxy(network, "silent")
    VirtualClock().run(main, backend=backend)
    assert proxy.heard[0].startswith(b"CONNECT db.example:5432 ")
    network.close()
    assert proxy.heard == [b""]


@pytest.mark.anyio
async def test_a_connection_that_was_given_up_is_not_taken(network: FakeNetwork) -> None:
    proxy = FakeProxy(network)
    dialer = network.dialer(proxy=proxy.url)
    given_up = await dialer.connect(TARGET, timeout=30)
    given_up.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    given_up.close()
    with await dialer.connect(TARGET, timeout=30) as sock, proxy.accept() as far:
        sock.send(b"x")
        assert await received(far, 1) == b"x"
    with pytest.raises(BlockingIOError):
        proxy.accept()


@BACKENDS
def test_what_takes_its_time(backend: str, network: FakeNetwork) -> None:
    proxy = FakeProxy(network, Answer("connects", after=3, split=True), scheme="socks5h")
    report = Report()

    async def main() -> None:
        dialer = network.dialer(proxy=proxy.url)
        (await dialer.connect(TARGET, timeout=30, report=report)).close()

    VirtualClock().run(main, backend=backend)
    assert report.phase_seconds["proxy"] == pytest.approx(3 + 11 * 0.001, abs=0.01)


@BACKENDS
def test_who_is_gone_is_not_answered(backend: str, network: FakeNetwork) -> None:
    proxy = FakeProxy(network, Answer("connects", after=5, split=True))

    async def main() -> None:
        with pytest.raises(ConnectTimeout):
            await network.dialer(proxy=proxy.url).connect(TARGET, timeout=1)
        await anyio.sleep(10)  # its answer comes, to nobody
        proxy.host.becomes("refused")
        with pytest.raises(ConnectionRefusedError):
            await network.dialer(proxy=proxy.url).connect(TARGET, timeout=30)

    VirtualClock().run(main, backend=backend)


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["the dial", "the network"])
async def test_nothing_is_left_of_an_answer_that_nobody_waits_for(
    end: str, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[int] = []

    def later(seconds: float, function: Any) -> Any:
        cancel = call_later(seconds, function)
        timers.append(1)

        def stop() -> None:
            timers.pop()
            cancel()

        return stop

    monkeypatch.setattr("aconnect.testing.proxy.call_later", later)
    proxy = FakeProxy(network, Answer("connects", after=3600))
    dialer = network.dialer(proxy=proxy.url)
    if end == "the dial":
        with pytest.raises(ConnectTimeout):
            await dialer.connect(TARGET, timeout=0.01)
    else:
        far = socket.socketpair()
        with far[0]:
            proxy._meet(far[1])
            assert timers
            network.close()
    assert not timers


@pytest.mark.anyio
async def test_who_has_let_go_is_not_answered(network: FakeNetwork) -> None:
    proxy = FakeProxy(network, "connects")
    near, far = socket.socketpair()
    near.close()
    far.setblocking(False)
    proxy._meet(far)
    assert proxy.heard == [b""]


@BACKENDS
def test_a_network_that_is_left_before_it_hangs_up(backend: str, network: FakeNetwork) -> None:
    proxy = FakeProxy(network, Answer("closes", after=5))

    async def main() -> None:
        with pytest.raises(ConnectTimeout):
            await network.dialer(proxy=proxy.url).connect(TARGET, timeout=1)
        network.close()
        await anyio.sleep(10)
        assert proxy.heard == [b""]

    VirtualClock().run(main, backend=backend)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("nonsense",), ValueError, "what must be one of connects, "),
        ((5,), TypeError, "what must be a str or bytes, not 5"),
        (("connects", -1), ValueError, "after"),
        (("connects", 0, 1), TypeError, "split must be a bool, not 1"),
        (("connects", 0, False, "x"), TypeError, "surplus must be bytes"),
        (("refused", 0, False, b"x"), ValueError, "surplus comes from the target"),
    ],
)
def test_answers_that_cannot_be(arguments: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        Answer(*arguments)


def test_proxies_that_cannot_be(network: FakeNetwork) -> None:
    with pytest.raises(ValueError, match=r"scheme must be one of socks4, .* not 'https2'"):
        FakeProxy(network, scheme="https2")
    with pytest.raises(ValueError, match="login is for SOCKS5, not for http"):
        FakeProxy(network, login=True)
    with pytest.raises(ValueError, match="outcomes must not be empty"):
        FakeProxy(network, [])
