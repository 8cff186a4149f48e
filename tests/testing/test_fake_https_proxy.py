"""A fake proxy that is spoken to over TLS: what programs that dial through it come across."""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
import ssl
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import uvloop
from support.tls import NAME, Certificates

from aconnect import (
    ConnectTimeout,
    Dialer,
    Endpoint,
    Proxy,
    ProxyError,
    Report,
    blocking,
    open_stream,
)
from aconnect.testing import Answer, FakeNetwork, FakeProxy, VirtualClock, secured
from aconnect.testing.fake_socket import FakeSocket
from aconnect.testing.line import Line, State
from aconnect.testing.secured import Secured
from aconnect.testing.watching import Watch, watch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 30  # seconds; what takes as long has failed
TARGET = ("db.example", 5432)
MUCH = bytes(range(256)) * 8192


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as network:
        yield network
    gc.collect()


class Played:
    """A proxy, and a dialer that goes through it."""

    def __init__(
        self, network: FakeNetwork, certificates: Certificates, script: Any, kind: str = "good"
    ) -> None:
        self.proxy = FakeProxy(
            network, script, scheme="https", name=NAME, ssl=certificates.server(kind)
        )
        context = certificates.client()
        self.dialer: Dialer = network.dialer(proxy=Proxy("https", (NAME, 443), ssl=context))

    async def dial(self, **options: Any) -> Any:
        return await open_stream(TARGET, dialer=self.dialer, **{"timeout": LONG, **options})


@pytest.fixture
def played(network: FakeNetwork, certificates: Certificates) -> Any:
    return lambda script="connects", **kind: Played(network, certificates, script, **kind)


async def received(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            got = sock.recv(count - len(data))
        except BlockingIOError:
            await anyio.wait_readable(sock)
        else:
            assert got
            data += got
    return data


async def taken(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


async def sent(sock: Any, data: bytes) -> None:
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await anyio.wait_writable(sock)


@pytest.mark.anyio
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
async def test_it_connects(split: bool, played: Any) -> None:
    playing = played(Answer("connects", split=split, surplus=b"hello"))
    assert playing.proxy.url == f"https://{NAME}:443"
    report = Report()
    async with await playing.dial(report=report) as stream:
        assert await taken(stream, 5) == b"hello"
        await stream.send(b"ping")
        with playing.proxy.accept() as far:
            assert far.getpeername()[0] == "192.0.2.254"
            assert await received(far, 4) == b"ping"
            await stream.send(b"more")
            assert await received(far, 4) == b"more"
            far.send(b"pong")
            assert await taken(stream, 4) == b"pong"
        with pytest.raises(BlockingIOError):
            playing.proxy.accept()
    [talk] = playing.proxy.heard
    assert talk.startswith(b"CONNECT db.example:5432 HTTP/1.1\r\n")
    assert talk.endswith(b"\r\n\r\n")
    names = [each.name for each in report.attempts[0].handshakes]
    assert names == ["TLS to proxy", "HTTP CONNECT"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("what", "code", "about"),
    [
        ("refused", errno.ECONNREFUSED, "target"),
        ("unreachable", errno.EHOSTUNREACH, "target"),
        ("forbidden", errno.EACCES, "target"),
        ("login", errno.EACCES, "proxy"),
        ("garbage", errno.EPROTO, "proxy"),
        ("closes", errno.ECONNRESET, "proxy"),
        (b"HTTP/1.1 503 Down\r\n\r\n", errno.EHOSTUNREACH, "target"),
    ],
)
async def test_what_it_does_not_do(what: Any, code: int, about: str, played: Any) -> None:
    playing = played(what)
    with pytest.raises(ProxyError) as caught:
        await playing.dial()
    assert (caught.value.errno, caught.value.about, caught.value.layer) == (code, about, 1)
    with pytest.raises(BlockingIOError):
        playing.proxy.accept()


@pytest.mark.anyio
async def test_a_certificate_that_is_no_good(played: Any) -> None:
    playing = played(kind="expired")
    with pytest.raises(ProxyError, match="the certificate has expired") as caught:
        await playing.dial()
    assert caught.value.layer == 0
    assert playing.proxy.heard == [b""]
    with pytest.raises(BlockingIOError):
        playing.proxy.accept()


@pytest.mark.anyio
async def test_one_that_speaks_no_tls(network: FakeNetwork) -> None:
    FakeProxy(network, "forbidden", name=NAME, port=443)
    dialer = network.dialer(proxy=f"https://{NAME}")
    with pytest.raises(ProxyError, match="does not speak TLS here"):
        await open_stream(TARGET, dialer=dialer, timeout=LONG)


@pytest.mark.anyio
async def test_who_speaks_no_tls_to_it(network: FakeNetwork, played: Any) -> None:
    playing = played()
    dialer = network.dialer(proxy=f"http://{NAME}:443")
    with pytest.raises(ProxyError, match=r"hung up|no HTTP"):
        await open_stream(TARGET, dialer=dialer, timeout=LONG)
    with pytest.raises(BlockingIOError):
        playing.proxy.accept()


@pytest.mark.anyio
async def test_how_it_ends(played: Any) -> None:
    playing = played()
    async with await playing.dial() as stream:
        target = playing.proxy.accept()
        target.send(b"bye")
        target.close()
        assert await taken(stream, 3) == b"bye"
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
    async with await playing.dial() as stream:
        await stream.send(b"bye")
        target = playing.proxy.accept()
    with target:
        assert await received(target, 3) == b"bye"
        await anyio.wait_readable(target)
        assert target.recv(1) == b""
        target.send(b"to nobody")


@pytest.mark.anyio
async def test_a_target_that_has_said_all(played: Any) -> None:
    playing = played()
    async with await playing.dial() as stream:
        with playing.proxy.accept() as target:
            target.shutdown(1)
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


@pytest.mark.anyio
async def test_who_has_gone_before_the_target_is_taken(played: Any) -> None:
    playing = played()
    async with await playing.dial() as stream:
        await stream.send(b"bye")
    with playing.proxy.accept() as target:
        assert await received(target, 3) == b"bye"
        assert target.recv(1) == b""


@pytest.mark.anyio
async def test_much(played: Any) -> None:
    playing = played()
    async with await playing.dial() as stream, anyio.create_task_group() as tasks:
        with playing.proxy.accept() as target:
            tasks.start_soon(stream.send, MUCH)
            assert await received(target, len(MUCH)) == MUCH
            tasks.start_soon(sent, target, MUCH)
            assert await taken(stream, len(MUCH)) == MUCH


@pytest.mark.anyio
async def test_tls_to_the_target_within(played: Any, certificates: Certificates) -> None:
    playing = played()
    streams: list[Any] = []

    async def dial() -> None:
        streams.append(await playing.dial(ssl=certificates.client(), server_hostname=NAME))

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.server().wrap_bio(incoming, outgoing, server_side=True)
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial)
            target = None
            while target is None:
                try:
                    target = playing.proxy.accept()
                except BlockingIOError:
                    await anyio.sleep(0.001)
            with target:
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        await sent(target, outgoing.read())
                        await anyio.wait_readable(target)
                        incoming.write(target.recv(65536))
                tls.write(b"hello")
                await sent(target, outgoing.read())
                while not streams:
                    await anyio.sleep(0.001)
                assert await taken(streams[0], 5) == b"hello"
            with contextlib.suppress(anyio.BrokenResourceError):  # it has not said goodbye
                await streams[0].aclose()


BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_silence(backend: str, played: Any) -> None:
    playing = played("silent")

    async def main() -> None:
        with pytest.raises(ConnectTimeout, match="no answer to the CONNECT request") as caught:
            await playing.dial(timeout=5)
        assert caught.value.phase == "proxy"

    VirtualClock().run(main, backend=backend)
    assert playing.proxy.heard[0].startswith(b"CONNECT db.example:5432 ")


@BACKENDS
def test_what_takes_its_time(backend: str, played: Any) -> None:
    playing = played(Answer("connects", after=3, split=True))
    report = Report()

    async def main() -> None:
        async with await playing.dial(report=report):
            pass

    VirtualClock().run(main, backend=backend)
    size = len(b"HTTP/1.1 200 Connection established\r\n\r\n")
    seconds = 3 + (size - 1) * 0.001
    assert report.phase_seconds["proxy"] == pytest.approx(seconds, abs=0.001)


def test_without_an_event_loop(played: Any) -> None:
    playing = played(Answer("connects", surplus=b"hello"))
    with blocking.connect(TARGET, dialer=playing.dialer, timeout=LONG) as sock:
        assert sock.recv(5) == b"hello"
        sock.sendall(b"ping")
        with playing.proxy.accept() as target:
            assert target.recv(4) == b"ping"
            target.send(b"pong")
            assert sock.recv(4) == b"pong"


def test_a_network_that_nobody_has_any_more(certificates: Certificates) -> None:
    network = FakeNetwork()
    playing = Played(network, certificates, "connects")
    blocking.connect(TARGET, dialer=playing.dialer, timeout=LONG).close()
    [connection] = playing.proxy._met
    gone = weakref.ref(network)
    del network, playing
    gc.collect()
    assert gone() is None
    assert connection.far.fileno() < 0


@pytest.mark.parametrize(("scheme", "given"), [("https", False), ("http", True)])
def test_what_cannot_be(
    scheme: str, given: bool, network: FakeNetwork, certificates: Certificates
) -> None:
    context = certificates.server() if given else None
    with pytest.raises(ValueError, match="ssl must be a context for a server"):
        FakeProxy(network, scheme=scheme, ssl=context)


# The end of a connection, by itself


class Peer:
    """Who speaks TLS to it, step by step."""

    def __init__(self, certificates: Certificates) -> None:
        self.near, far = socket.socketpair()
        self.near.setblocking(False)
        kind = Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("192.0.2.1", 1))
        line = Line(None, kind)
        line.state = State.CONNECTED
        self.far = FakeSocket._of(far, line)
        self.secured = Secured(self.far, certificates.server())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = certificates.client().wrap_bio(
            self._incoming, self._outgoing, server_hostname=NAME
        )
        while not self.tried(self.tls.do_handshake):
            self.secured.came()
        self.secured.came()

    def tried(self, call: Any) -> bool:
        """Whether it was done, with what had come before."""
        with contextlib.suppress(BlockingIOError):
            self._incoming.write(self.near.recv(65536))
        try:
            call()
        except ssl.SSLWantReadError:
            return False
        finally:
            if sent := self._outgoing.read():
                self.near.send(sent)
        return True


@pytest.fixture
def peer(certificates: Certificates) -> Iterator[Peer]:
    peer = Peer(certificates)
    with peer.near, peer.far:
        yield peer


def test_a_peer_that_has_said_all_can_be_answered(peer: Peer) -> None:
    peer.tried(lambda: peer.tls.write(b"last"))
    peer.tried(peer.tls.unwrap)
    with peer.secured.target(0) as target:
        assert target.recv(10) == b"last"
        assert target.recv(10) == b""
        target.send(b"answer")
        heard: list[bytes] = []
        peer.tried(lambda: heard.append(peer.tls.read()))
        assert heard == [b"answer"]


def test_what_is_sent_and_not_there_yet_is_waited_for(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def comes(sock: socket.socket) -> bool:
        peer.tried(lambda: peer.tls.write(b"late"))
        return came(sock)

    came = secured._comes
    monkeypatch.setattr(secured, "_comes", comes)
    peer.secured.came(1)
    assert peer.secured.heard == b"late"


def test_a_reset_is_an_end(peer: Peer) -> None:
    target = peer.secured.target(0)
    peer.far.close()
    with target:
        assert target.recv(10) == b""
        target.send(b"to nobody")


def test_a_target_that_is_gone(peer: Peer) -> None:
    target = peer.secured.target(0)
    inner = peer.secured._inner
    assert inner is not None
    inner.close()
    peer.tried(lambda: peer.tls.write(b"to nobody"))
    peer.secured.came()
    assert peer.secured.is_open
    socket.socket.close(target)
    peer.secured.close()
    peer.secured.say(b"nothing more")
    assert not peer.secured.is_open


def test_a_target_that_has_not_read_everything(peer: Peer) -> None:
    peer.tried(lambda: peer.tls.write(b"to nobody"))
    peer.secured.came()
    peer.secured.target(0).close()
    assert not peer.secured.is_open


def test_a_target_that_was_duplicated_is_there_until_both_are_closed(peer: Peer) -> None:
    target = peer.secured.target(0)
    with target.makefile("rb"):
        target.close()
        assert peer.secured.is_open
    assert not peer.secured.is_open


def test_a_watch_on_a_loop_that_is_closed() -> None:
    async def make() -> Any:
        return watch_of(one)

    one, other = socket.socketpair()
    with one, other:
        loop = uvloop.new_event_loop()
        watch = loop.run_until_complete(make())
        loop.close()
        watch.set(print, print)


@pytest.mark.anyio
async def test_a_watch() -> None:
    one, other = socket.socketpair()
    with one, other:
        for sock in (one, other):
            sock.setblocking(False)
        events = anyio.Event(), anyio.Event()
        watch = watch_of(one)

        def readable() -> None:
            watch.set(None, events[1].set)
            events[0].set()

        watch.set(readable, None)
        other.send(b"x")
        if type(watch) is Watch:
            return  # of asyncio's, which need none
        with anyio.fail_after(LONG):
            await events[0].wait()
            await events[1].wait()
        watch.set(None, None)
        watch.set(None, None)


@pytest.mark.anyio
async def test_a_watch_that_is_taken_back_when_it_is_due() -> None:
    """Of two that are due at once, the first takes the other back."""
    with ExitStack() as stack:
        watches: list[Watch] = []
        done = anyio.Event()
        called: list[int] = []

        def call() -> None:
            called.append(1)
            done.set()
            for each in watches:
                each.set(None, None)

        for _ in range(2):
            one, other = map(stack.enter_context, socket.socketpair())
            one.setblocking(False)
            other.send(b"x")
            watches.append(watch_of(one))
        for watch in watches:
            watch.set(call, None)
        if type(watches[0]) is Watch:
            return
        with anyio.fail_after(LONG):
            await done.wait()
        await anyio.wait_all_tasks_blocked()
        assert called == [1]
