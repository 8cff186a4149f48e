"""What `attempt_timeout` and a deadline are for, by proxies, in time that takes no time."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.tls import NAME, Certificates

from aconnect import ConnectTimeout, Proxy, Sequence, open_stream
from aconnect.testing import Answer, FakeNetwork, FakeProxy, VirtualClock
from aconnect.testing.secured import Secured

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = ("db.example", 5432)
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        yield network


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


async def for_three_seconds(sock: Any) -> None:
    await anyio.sleep(3)


async def for_three_more(sock: Any) -> str:
    await anyio.sleep(3)
    sock.close()
    return "done"


@BACKENDS
@pytest.mark.parametrize(
    ("limit", "phase"),
    [
        (2.5, "connect"),  # of 3 seconds
        (3.5, "handshake"),  # the proxy takes 3 as well, and what comes next has half a second
        (8.5, "handshake"),  # two handshakes and the proxy take 9
        (9.5, None),  # all together take 12
    ],
)
def test_p4_an_attempt_timeout_is_for_connect_and_again_for_all_layers(
    limit: float, phase: str | None, backend: str, network: FakeNetwork
) -> None:
    proxy = FakeProxy(network, Answer("connects", after=3))
    proxy.host.becomes("connects", after=3)
    dialer = network.dialer(proxy=proxy.url, attempt_timeout=limit)

    async def main() -> float:
        began = time.monotonic()
        handshake = Sequence(for_three_seconds, for_three_more)
        dial = dialer.connect(TARGET, timeout=60, handshake=handshake)
        if phase is None:
            assert await dial == "done"
        else:
            with pytest.raises(ConnectTimeout) as caught:
                await dial
            assert caught.value.phase == phase
        return time.monotonic() - began

    seconds = {2.5: 2.5, 3.5: 3 + 3.5, 8.5: 3 + 8.5, 9.5: 12}[limit]
    assert VirtualClock().run(main, backend=backend) == pytest.approx(seconds, abs=0.01)


@BACKENDS
def test_a_connection_to_a_proxy_that_waits_for_its_turn_to_speak(
    backend: str, network: FakeNetwork
) -> None:
    first, second = (FakeProxy(network, "silent", address=f"192.0.2.{last}") for last in (80, 81))
    first.host.becomes("connects", after=0.3)
    second.host.becomes("connects", after=0.15)  # of 0.25, and the first is asked until 0.55

    async def main() -> None:
        with pytest.raises(ConnectTimeout) as caught:
            await network.dialer(proxy=first.url).connect(TARGET, timeout=0.5)
        assert [each.phase for each in caught.value.attempts] == ["proxy", "proxy"]
        assert [each.proxy for each in caught.value.attempts] == [first.url, ""]
        assert "but its handshake had not finished after 250.0 ms" in str(caught.value)

    VirtualClock().run(main, backend=backend)
    assert second.heard == [b""]


HTTP = b"HTTP/1.1 200 OK\r\n\r\n"


LIMITS = pytest.mark.parametrize("limit", ["timeout", "attempt_timeout"])


@BACKENDS
@LIMITS
@pytest.mark.parametrize("count", [0, 1, 8, len(HTTP) - 1])
def test_p8_a_deadline_within_an_answer_of_http(
    count: int, limit: str, backend: str, network: FakeNetwork
) -> None:
    proxy = FakeProxy(network, HTTP[:count] if count else "silent")

    async def main() -> float:
        began = time.monotonic()
        own = {"attempt_timeout": 5.0} if limit == "attempt_timeout" else {}
        dialer = network.dialer(proxy=proxy.url, **own)
        with pytest.raises(ConnectTimeout, match="no answer to the CONNECT request") as caught:
            await dialer.connect(TARGET, timeout=60 if own else 5)
        assert caught.value.phase == "proxy"
        return time.monotonic() - began

    assert VirtualClock().run(main, backend=backend) == pytest.approx(5, abs=0.01)


def takes_five_seconds(
    network: FakeNetwork, backend: str, limit: str, chain: Any, awaited: str
) -> None:
    """Dial in vain, by virtual time."""

    async def main() -> float:
        began = time.monotonic()
        own = {"attempt_timeout": 5.0} if limit == "attempt_timeout" else {}
        dialer = network.dialer(proxy=chain, **own)
        with pytest.raises(ConnectTimeout, match=awaited) as caught:
            await open_stream(TARGET, dialer=dialer, timeout=60 if own else 5)
        assert caught.value.phase == "proxy"
        return time.monotonic() - began

    assert VirtualClock().run(main, backend=backend) == pytest.approx(5, abs=0.01)


class Halting(Secured):
    """One that sends no more than so many bytes."""

    def __init__(self, far: Any, context: ssl.SSLContext, most: int) -> None:
        super().__init__(far, context)
        self._left = most

    def _send(self) -> None:
        data = self._outgoing.read()[: self._left]
        self._left -= len(data)
        socket.socket.send(self._far, data)


FLIGHT = 700
"""Bytes that are fewer than those that a server sends before TLS is done."""


@BACKENDS
@LIMITS
@pytest.mark.parametrize("count", [0, 1, 5, 100, FLIGHT])
def test_p8_a_deadline_within_tls_to_a_proxy(
    count: int, limit: str, backend: str, network: FakeNetwork, certificates: Certificates
) -> None:
    context = certificates.server()
    with ExitStack() as stack:

        def meet(far: socket.socket) -> None:
            halting = Halting(stack.enter_context(far), context, count)
            network.attend(far, halting.came)

        network.add(NAME, "192.0.2.80", on_connection=meet)
        proxy = Proxy("https", (NAME, 443), ssl=certificates.client())
        takes_five_seconds(network, backend, limit, proxy, "the TLS handshake was not done")


def test_a_flight_is_longer_than_what_was_cut_of_it(certificates: Certificates) -> None:
    buffers = [ssl.MemoryBIO() for _ in range(4)]
    client = certificates.client().wrap_bio(*buffers[:2], server_hostname=NAME)
    server = certificates.server().wrap_bio(*buffers[2:], server_side=True)
    for side in (client, server):
        buffers[2].write(buffers[1].read())
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    assert buffers[3].pending > FLIGHT


def by_https(network: FakeNetwork, certificates: Certificates, answer: Any) -> Proxy:
    FakeProxy(network, answer, scheme="https", name=NAME, ssl=certificates.server())
    return Proxy("https", (NAME, 443), ssl=certificates.client())


@BACKENDS
@LIMITS
@pytest.mark.parametrize("count", [0, 1, 8, len(HTTP) - 1])
def test_p8_a_deadline_within_an_answer_over_tls(
    count: int, limit: str, backend: str, network: FakeNetwork, certificates: Certificates
) -> None:
    proxy = by_https(network, certificates, HTTP[:count] if count else "silent")
    takes_five_seconds(network, backend, limit, proxy, "no answer to the CONNECT request")


SECOND = {
    "socks5h": ("the SOCKS5 greeting", [b"", b"\x05"]),
    "socks5": ("the SOCKS5 request", [b"\x05\x00", b"\x05\x00\x05\x00\x00\x01" + bytes(5)]),
    "socks4a": ("the SOCKS4 request", [b"", bytes([0, 90]) + bytes(5)]),
    "http": ("the CONNECT request", [b"", HTTP[:-1]]),
    "https": ("the TLS handshake was not done", [b"", b"\x16\x03\x03\x00"]),
}


@BACKENDS
@pytest.mark.parametrize(
    ("scheme", "said"), [(scheme, said) for scheme in SECOND for said in SECOND[scheme][1]]
)
def test_p8_a_deadline_within_what_a_second_proxy_says(
    scheme: str, said: bytes, backend: str, network: FakeNetwork, certificates: Certificates
) -> None:
    first = by_https(network, certificates, Answer("connects", surplus=said))
    own: Any = {"ssl": certificates.client()} if scheme == "https" else {"dns": None}
    if scheme == "socks5":
        network.add(TARGET[0], "192.0.2.7")
    chain = [first, Proxy(scheme, ("second.example", 1), **own)]
    takes_five_seconds(network, backend, "timeout", chain, SECOND[scheme][0])
