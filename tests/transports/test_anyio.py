"""open_stream() and AConnectable on asyncio, uvloop and trio; TLS has a file of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import importlib.util
import os
import socket
import sys
import types
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from anyio.streams.tls import TLSStream
from conftest import LOOPS, open_descriptors
from support.canaries import Canaries
from support.listeners import listening, refusing, silent, unix_full, unix_listening
from support.tls import NAME, Certificates, hang_up, serving

from aconnect import (
    AConnectable,
    AddressNotPermitted,
    Batch,
    ConnectError,
    ConnectTimeout,
    Deadline,
    Dialer,
    Endpoint,
    HandshakeError,
    ResolveError,
    StaticResolver,
    TCPAddress,
    UnixAddress,
    open_stream,
)
from aconnect.handshakes.tls import settings
from aconnect.policy import public_only
from aconnect.trace import AttemptStarted
from aconnect.transports import anyio as calls
from aconnect.transports import anyio_streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LONG = 30  # seconds; what takes as long has failed

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True),
]


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


@pytest.fixture
def canaries() -> Iterator[Canaries]:
    with Canaries() as canaries:
        yield canaries


async def sing(canaries: Canaries) -> None:
    """Take the numbers that are free, in a task of one's own: no code of ours is to block."""
    await anyio.lowlevel.checkpoint()
    canaries.sing()


async def settle(canaries: Canaries) -> None:
    """Have whatever is still to be closed be closed; it must not be a canary."""
    for _ in range(10):
        canaries.sing()
        await anyio.lowlevel.checkpoint()
    gc.collect()  # nobody's socket object may close one either
    canaries.check()


async def exchange(stream: anyio.abc.ByteStream) -> None:
    await stream.send(b"hello")
    assert await stream.receive() == b"hello"


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*kind, each) for each in addresses]


def spell(host: str, port: int) -> dict[str, tuple[Any, ...]]:
    """Ways to write the address of a listener."""
    return {
        "a pair": ((host, port),),
        "host and port": (host, port),
        "text": (f"{host}:{port}",),
        "value": (TCPAddress(host, port),),
        "a name": ("localhost", port),
        "a list": (results((host, port)),),
    }


class TestOpenStream:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("spelling", spell("0.0.0.0", 0))
    async def test_data_goes_both_ways(self, spelling: str) -> None:
        with serving() as server:
            async with await open_stream(
                *spell(*server.address)[spelling], timeout=LONG
            ) as stream:
                assert isinstance(stream, anyio.abc.SocketStream)
                assert not isinstance(stream, anyio.abc.UNIXSocketStream)
                assert stream.extra(anyio.abc.SocketAttribute.remote_address) == server.address
                await exchange(stream)
                await stream.send_eof()
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()

    async def test_ipv6(self) -> None:
        with serving(host="::1") as server:
            async with await open_stream("::1", server.address[1]) as stream:
                assert stream.extra(anyio.abc.SocketAttribute.remote_port) == server.address[1]
                await exchange(stream)

    @pytest.mark.parametrize("spelling", ["path", "text", "value"])
    async def test_unix(self, spelling: str, tmp_path: Path) -> None:
        path = tmp_path / "s"
        where: Any = {"path": path, "text": f"unix:{path}", "value": UnixAddress(path)}[spelling]
        with serving(path=path):
            async with await open_stream(where) as stream:
                assert isinstance(stream, anyio.abc.UNIXSocketStream)
                await exchange(stream)

    async def test_the_second_address(self) -> None:
        with refusing() as dead, serving() as server:
            async with await open_stream(results(dead, server.address)) as stream:
                assert stream.extra(anyio.abc.SocketAttribute.remote_address) == server.address

    @pytest.mark.parametrize("nodelay", [True, False])
    async def test_nodelay(self, nodelay: bool) -> None:
        """Transports and streams set it without being asked."""
        with listening() as listener:
            async with await open_stream(listener.getsockname(), nodelay=nodelay) as stream:
                sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay

    async def test_the_dialer_and_its_options(self) -> None:
        dialer = Dialer(permit=public_only(), local_address="127.0.0.7")
        with listening() as listener:
            with pytest.raises(AddressNotPermitted):
                await open_stream(listener.getsockname(), dialer=dialer)
            async with await open_stream(
                listener.getsockname(), dialer=dialer, permit=None
            ) as stream:
                host, _ = stream.extra(anyio.abc.SocketAttribute.local_address)
                assert host == "127.0.0.7"

    async def test_failure(self, tmp_path: Path) -> None:
        with refusing() as dead, pytest.raises(ConnectionRefusedError) as caught:
            await open_stream(*dead)
        assert isinstance(caught.value, ConnectError)
        assert caught.value.report is not None
        with pytest.raises(ResolveError):
            await open_stream("no.example", 80, resolver=StaticResolver({}))
        with silent() as address:
            for limit in ({"timeout": 0.01}, {"deadline": Deadline.after(0.01)}):
                with pytest.raises(ConnectTimeout):
                    await open_stream(address, **limit)  # type: ignore[call-overload]
        with unix_full(tmp_path / "s"), pytest.raises(ConnectTimeout, match="backlog"):
            await open_stream(tmp_path / "s", timeout=0.02)

    @pytest.mark.parametrize(
        ("arguments", "options", "error", "words"),
        [
            ((5,), {}, TypeError, "5"),
            (("127.0.0.1",), {}, ValueError, "127.0.0.1"),
            ((("127.0.0.1", 1), 1), {}, TypeError, "address"),
            (("127.0.0.1", 65536), {}, ValueError, "65536"),
            (("udp://127.0.0.1:1",), {}, ValueError, r"open_stream\(\) needs .* SOCK_STREAM"),
            (("unixgram:/s",), {}, ValueError, "SOCK_STREAM"),
            (("unixpacket:/s",), {}, ValueError, "SOCK_STREAM"),
            (
                ([(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 1))],),
                {},
                ValueError,
                "SOCK_STREAM",
            ),
            (("127.0.0.1:1",), {"timeout": -1}, ValueError, "timeout"),
            (("127.0.0.1:1",), {"dialer": "me"}, TypeError, "dialer"),
            (("127.0.0.1:1",), {"tos": "high"}, TypeError, "tos"),
            (("127.0.0.1:1",), {"colour": "red"}, TypeError, "colour"),
            (("127.0.0.1:1",), {"ssl": "yes"}, TypeError, "ssl"),
            (("127.0.0.1:1",), {"server_hostname": "a"}, ValueError, "server_hostname"),
            (("127.0.0.1:1",), {"ssl": True, "server_hostname": ""}, ValueError, "server_host"),
            (("127.0.0.1:1",), {"ssl_session": "s"}, TypeError, "ssl_session"),
            (("unix:/s",), {"ssl": True}, ValueError, "server_hostname"),
        ],
    )
    async def test_nonsense(
        self, arguments: Any, options: Any, error: Any, words: str, monkeypatch: Any
    ) -> None:
        def open_nothing(*_: Any, **__: Any) -> None:
            raise AssertionError("no system call before the arguments are known to be good")

        monkeypatch.setattr(socket.socket, "connect_ex", open_nothing)
        with pytest.raises(error, match=words):
            await open_stream(*arguments, **options)


class TestTheEndOfTLS:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("connectable", [True, False])
    @pytest.mark.parametrize("standard", [True, False])
    async def test_without_a_goodbye(
        self, certificates: Certificates, standard: bool, connectable: bool
    ) -> None:
        """Whether it may be the end is for the caller to say."""
        with serving(certificates.server(), hang_up) as server:
            options: Any = {"ssl": certificates.client(), "tls_standard_compatible": standard}
            if connectable:
                stream = await AConnectable(server.address, **options).connect()
            else:
                stream = await open_stream(server.address, **options)
            assert isinstance(stream, TLSStream)
            await stream.send(b"hello")
            with pytest.raises(anyio.BrokenResourceError if standard else anyio.EndOfStream):
                await stream.receive()
            await anyio.aclose_forcefully(stream)


class TestAConnectable:
    pytestmark = on_each_loop

    async def test_is_one_of_anyios(self) -> None:
        with serving() as server:
            connectable = AConnectable(*server.address, timeout=LONG)
            assert isinstance(connectable, anyio.abc.ByteStreamConnectable)
            assert anyio.as_connectable(connectable) is connectable
            for _ in range(2):
                async with await connectable.connect() as stream:
                    await exchange(stream)

    async def test_with_all_there_is_to_say(self, certificates: Certificates) -> None:
        with serving(certificates.server()) as server:
            connectable = AConnectable(
                results(server.address),
                ssl=certificates.client(),
                server_hostname=NAME,
                dialer=Dialer(local_address="127.0.0.7"),
            )
            async with await connectable.connect() as stream:
                await exchange(stream)
                host, _ = stream.extra(anyio.abc.SocketAttribute.local_address)
                assert host == "127.0.0.7"
        assert server.names == [NAME]

    async def test_failure_is_anyios_with_ours_as_its_cause(self) -> None:
        with refusing() as dead, pytest.raises(anyio.ConnectionFailed) as caught:
            await AConnectable(dead).connect()
        cause = caught.value.__cause__
        assert isinstance(cause, ConnectError)
        assert caught.value.errno == cause.errno == errno.ECONNREFUSED
        assert caught.value.strerror == cause.strerror
        with silent() as address, pytest.raises(anyio.ConnectionFailed) as caught:
            await AConnectable(address, timeout=0.01).connect()
        assert isinstance(caught.value.__cause__, ConnectTimeout)

    async def test_nonsense_is_not_a_failed_connection(self) -> None:
        with pytest.raises(ValueError, match="SOCK_STREAM"):
            await AConnectable("udp://127.0.0.1:1").connect()


class TestAConnectablesValue:
    def test_it_is_immutable(self) -> None:
        connectable: Any = AConnectable("127.0.0.1:1")
        with pytest.raises(FrozenInstanceError):
            connectable.port = 5

    def test_it_is_equal_to_its_like(self) -> None:
        assert AConnectable("127.0.0.1", 1) == AConnectable("127.0.0.1", 1)
        assert AConnectable("127.0.0.1", 1) != AConnectable("127.0.0.1", 1, timeout=5)
        assert len({AConnectable("127.0.0.1", 1), AConnectable("127.0.0.1", 1)}) == 1


class TestWithoutAnyio:
    WORDS = r"anyio is not installed: install it, or aconnect-io\[anyio\]"

    @pytest.fixture
    def without(self, monkeypatch: Any) -> Any:
        """The module as it is where there is no anyio."""
        for name in ("anyio", "anyio.abc"):
            monkeypatch.setitem(sys.modules, name, None)
        for original in (anyio_streams, calls):
            name = f"{original.__name__}_without_anyio"
            spec = importlib.util.spec_from_file_location(name, original.__file__)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)  # where its dataclass looks
            spec.loader.exec_module(module)
        return module

    def test_the_call_says_what_is_missing(self, without: Any) -> None:
        for call in (open_stream, without.open_stream):
            with pytest.raises(ImportError, match=self.WORDS):
                call("127.0.0.1:1").send(None)

    def test_so_does_a_connectable_which_can_be_made(self, without: Any) -> None:
        for kind in (AConnectable, without.AConnectable):
            connectable = kind("127.0.0.1:1")
            assert connectable.port is None
            with pytest.raises(ImportError, match=self.WORDS):
                connectable.connect().send(None)


def test_without_a_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no event loop is running"):
        open_stream("127.0.0.1:1").send(None)


class Bug(Exception):
    """What nobody expects."""


KINDS = ["tcp", "unix", "tls"]


@contextmanager
def something_to_open(
    kind: str, certificates: Certificates, tmp_path: Path
) -> Iterator[tuple[dict[str, Any], socket.socket]]:
    """What to open a stream with, and what listens there."""
    unix = kind == "unix"
    with unix_listening(tmp_path / "s") if unix else listening() as listener:
        options: dict[str, Any] = {"address": listener.getsockname()}
        if unix:
            options["address"] = tmp_path / "s"
        if kind == "tls":
            options["ssl"] = certificates.client()
        yield options, listener


def assert_gone(listener: socket.socket) -> None:
    """The connection has been closed: on the loopback, the peer knows at once."""
    accepted, _ = listener.accept()
    with accepted:
        accepted.setblocking(False)
        try:
            while accepted.recv(65536):
                pass  # a ClientHello
        except ConnectionResetError:
            pass


class TestAStreamThatCannotBeMade:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("taken", [False, True])
    async def test_its_socket_is_closed_once(
        self,
        kind: str,
        taken: bool,
        certificates: Certificates,
        canaries: Canaries,
        tmp_path: Path,
        monkeypatch: Any,
    ) -> None:
        """Before it has the socket, or after, in which case it has closed it."""
        owner = anyio.abc.UNIXSocketStream if kind == "unix" else anyio.abc.SocketStream
        make = owner.from_socket

        async def fail(sock: socket.socket) -> Any:
            if taken:
                await anyio.aclose_forcefully(await make(sock))
                async with anyio.create_task_group() as group:
                    group.start_soon(sing, canaries)
            raise Bug

        monkeypatch.setattr(owner, "from_socket", fail)
        with something_to_open(kind, certificates, tmp_path) as (options, listener):
            error = HandshakeError if kind == "tls" else Bug
            with pytest.raises(error) as caught:
                await open_stream(**options, timeout=LONG)
            assert isinstance(caught.value.__cause__ or caught.value, Bug)
            assert_gone(listener)
            await settle(canaries)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_cancelled_meanwhile(
        self,
        kind: str,
        certificates: Certificates,
        canaries: Canaries,
        tmp_path: Path,
        monkeypatch: Any,
    ) -> None:
        owner = anyio.abc.UNIXSocketStream if kind == "unix" else anyio.abc.SocketStream

        async def cancel(sock: socket.socket) -> Any:
            scope.cancel()
            await anyio.sleep_forever()

        monkeypatch.setattr(owner, "from_socket", cancel)
        with something_to_open(kind, certificates, tmp_path) as (options, listener):
            with anyio.CancelScope() as scope:
                await open_stream(**options)
            assert scope.cancelled_caught
            assert_gone(listener)
            await settle(canaries)

    @pytest.mark.parametrize("kind", ["tcp", "tls"])
    async def test_an_option_that_cannot_be_set(
        self,
        kind: str,
        certificates: Certificates,
        canaries: Canaries,
        tmp_path: Path,
        monkeypatch: Any,
    ) -> None:
        """As on macOS, where setsockopt() fails when the peer has hung up."""
        make = anyio.abc.SocketStream.from_socket
        made = []

        async def remember(sock: socket.socket) -> Any:
            made.append(await make(sock))
            return made[-1]

        def fail(*_: Any) -> None:
            raise Bug

        monkeypatch.setattr(anyio.abc.SocketStream, "from_socket", remember)
        monkeypatch.setattr(anyio_streams, "keep_nagle", fail)
        try:
            with something_to_open(kind, certificates, tmp_path) as (options, listener):
                with pytest.raises(HandshakeError if kind == "tls" else Bug):
                    await open_stream(**options, nodelay=False, timeout=LONG)
                assert_gone(listener)
                await settle(canaries)
        finally:
            await anyio.aclose_forcefully(made[0])


def endpoint(address: Any) -> Endpoint:
    return Endpoint(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)


class Lingering:
    """A resolver that gives addresses, and takes its time to end."""

    def __init__(self, *addresses: Any) -> None:
        self._batch = Batch([endpoint(each) for each in addresses], sorted=True)
        self.ended = anyio.Event()

    async def resolve(self, _: Any) -> AsyncIterator[Batch]:
        yield self._batch
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()


def inode(number: int) -> int | None:
    """What tells what a descriptor is of; None if it is closed meanwhile."""
    try:
        return os.fstat(number).st_ino
    except OSError:
        return None


class TestAHandshakeThatIsDone:
    pytestmark = on_each_loop

    async def test_when_the_call_is_cancelled(
        self, certificates: Certificates, canaries: Canaries
    ) -> None:
        """It has won, and the dial waits for its resolver."""
        with serving(certificates.server()) as server:
            resolver = Lingering(server.address)
            with anyio.CancelScope() as scope:

                async def cancel() -> None:
                    await resolver.ended.wait()
                    scope.cancel()

                async with anyio.create_task_group() as group:
                    group.start_soon(cancel)
                    await open_stream(
                        f"{NAME}:{server.address[1]}",
                        ssl=certificates.client(),
                        dialer=Dialer(resolver=resolver, resolution_delay=0),
                    )
            assert scope.cancelled_caught
            assert server.names == [NAME]
            await settle(canaries)

    async def test_when_its_time_is_up(
        self, certificates: Certificates, canaries: Canaries, monkeypatch: Any
    ) -> None:
        """Its last step was under way and cannot be cancelled; another address wins."""
        wrap = TLSStream.wrap
        made: list[TLSStream] = []
        sockets: list[int] = []
        second = anyio.Event()

        def note(event: Any) -> None:
            if isinstance(event, AttemptStarted) and event.attempt == 1:
                second.set()

        async def wrap_late(*arguments: Any, **options: Any) -> Any:
            made.append(await wrap(*arguments, **options))
            sock = made[-1].extra(anyio.abc.SocketAttribute.raw_socket)
            sockets.append(os.fstat(sock.fileno()).st_ino)
            if len(made) == 1:
                while not second.is_set():
                    with contextlib.suppress(BaseException):
                        await second.wait()
            return made[-1]

        monkeypatch.setattr(TLSStream, "wrap", wrap_late)
        with ExitStack() as stack:
            one, two = (stack.enter_context(serving(certificates.server())) for _ in range(2))
            options: Any = {"ssl": certificates.client(), "server_hostname": NAME}
            dialer = Dialer(attempt_timeout=0.2, trace=note)
            addresses = results(one.address, two.address)
            try:
                async with await open_stream(addresses, dialer=dialer, **options) as stream:
                    remote = stream.extra(anyio.abc.SocketAttribute.remote_address)
                    assert remote == two.address
                await settle(canaries)
                assert sockets[0] not in map(inode, open_descriptors())
            finally:
                await anyio.aclose_forcefully(made[0])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", LOOPS, indirect=True)
async def test_a_handshake_that_the_kernel_gives_up(
    certificates: Certificates, monkeypatch: Any
) -> None:
    """Its ETIMEDOUT is not taken for the end of our own time."""

    async def give_up(handshake: Any, sock: socket.socket) -> None:
        sock.close()
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    monkeypatch.setattr(calls._AnyioTLS, "shake", give_up)
    with listening() as listener, pytest.raises(HandshakeError) as caught:
        await open_stream(
            listener.getsockname(), ssl=certificates.client(), server_hostname=NAME, timeout=LONG
        )
    assert caught.value.errno == errno.ETIMEDOUT
    assert not isinstance(caught.value, ConnectTimeout)


@types.coroutine
def run_until(coroutine: Any, pause: object) -> Any:
    """Run a coroutine by hand, in the place of the one that awaits this, until it yields that."""
    answer = None
    while (asked := coroutine.send(answer)) is not pause:
        answer = yield asked


@types.coroutine
def yielding(pause: object) -> Any:
    yield pause


class TestACoroutineThatIsClosed:
    """It cannot wait for anything any more."""

    pytestmark = on_each_loop

    async def test_before_there_is_a_stream(self, canaries: Canaries, monkeypatch: Any) -> None:
        pause = object()
        monkeypatch.setattr(anyio.abc.SocketStream, "from_socket", lambda _: yielding(pause))
        with listening() as listener:
            opening = open_stream(listener.getsockname())
            await run_until(opening, pause)
            opening.close()
            assert_gone(listener)
            await settle(canaries)

    async def test_in_the_handshake(
        self,
        certificates: Certificates,
        canaries: Canaries,
        monkeypatch: Any,
    ) -> None:
        pause = object()
        streams = []

        async def wrap(stream: anyio.abc.SocketStream, **_: Any) -> None:
            streams.append(stream)
            await yielding(pause)

        monkeypatch.setattr(TLSStream, "wrap", wrap)
        tls = settings(certificates.client(), NAME, None, None)
        assert tls is not None
        handshake = calls._AnyioTLS(tls, Dialer(), True)
        with listening() as listener:
            sock = socket.create_connection(listener.getsockname())
            shaking = handshake(sock)
            await run_until(shaking, pause)
            number = streams[0].extra(anyio.abc.SocketAttribute.raw_socket).fileno()
            try:
                shaking.close()
                assert sock.fileno() < 0
                await settle(canaries)
                assert_gone(listener)
                await use(number)
            finally:
                await anyio.aclose_forcefully(streams[0])

    async def test_when_the_handshake_was_done(
        self, certificates: Certificates, canaries: Canaries
    ) -> None:
        tls = settings(certificates.client(), NAME, None, None)
        assert tls is not None
        handshake = calls._AnyioTLS(tls, Dialer(), True)
        with serving(certificates.server()) as server:
            await handshake(socket.create_connection(server.address))
            [(_, sock)] = handshake.made
            abandoning = handshake.abandon(None, GeneratorExit())
            with pytest.raises(StopIteration):
                abandoning.send(None)
            await settle(canaries)
            assert sock.fileno() < 0


def test_a_stream_of_a_loop_that_is_closed() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(anyio.abc.SocketStream.from_socket(ours))
    with theirs, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the transport says of being left like this
        loop.close()
        anyio_streams.close_now(stream, ours)
        assert ours.fileno() < 0
        assert theirs.recv(1) == b""
        del stream
        gc.collect()


def test_a_stream_that_closes_without_waiting() -> None:
    class Stream:
        async def aclose(self) -> None:
            ours.close()

    ours, theirs = socket.socketpair()
    anyio_streams.close_now(Stream(), ours)  # type: ignore[arg-type]
    with theirs:
        assert theirs.recv(1) == b""


async def use(number: int) -> None:
    """Have a socket with this number, and the loop wait for it."""
    ours, theirs = socket.socketpair()
    if theirs.fileno() == number:
        ours, theirs = theirs, ours
    if ours.fileno() != number:
        with ours:
            os.dup2(ours.fileno(), number)
        ours = socket.socket(fileno=number)
    with ours, theirs:
        theirs.send(b"hello")
        await anyio.wait_readable(ours)
        assert ours.recv(10) == b"hello"
