"""The hand-over of a socket to a transport: whatever goes wrong, one close and no more.

How often a descriptor is closed cannot be counted on uvloop, which closes it itself.  So every
number that becomes free is taken at once by a canary, and at the end all canaries must live.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ASYNCIO_LOOPS
from support.canaries import Canaries
from support.listeners import listening, unix_listening
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import new_runnable
from support.stepping import one_turn
from support.tls import NAME, Certificates
from support.tls_server import tls_process

from aconnect import create_connection, create_datagram_endpoint
from aconnect.transports.hand_over import HandOver, closed, take_over

if TYPE_CHECKING:
    from collections.abc import Iterator

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True),
]


class Told(asyncio.Protocol, asyncio.DatagramProtocol):
    """Raises, aborts or closes when it is told of the connection.

    Has a canary take the number of the descriptor that this closes.
    """

    def __init__(self, reaction: Any = None, canaries: Canaries | None = None) -> None:
        self.reaction = reaction
        self.canaries = canaries
        self.told: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")
        if isinstance(self.reaction, str):
            getattr(transport, self.reaction)()
            if self.canaries is not None:
                self.canaries.take()
        elif self.reaction is not None:
            raise self.reaction

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def canaries() -> Iterator[Canaries]:
    with Canaries() as canaries:
        yield canaries


def raising(error: BaseException) -> Any:
    def factory() -> Told:
        raise error

    return factory


class TestWhatGoesWrong:
    pytestmark = on_each_loop

    @pytest.mark.parametrize("kind", ["tcp", "unix", "udp"])
    @pytest.mark.parametrize("where", ["factory", "connection_made"])
    async def test_the_caller_gets_what_was_raised(
        self, kind: str, where: str, canaries: Canaries, tmp_path: Any
    ) -> None:
        error = LookupError("a bug of the user's")
        protocol = Told(error)
        factory = raising(error) if where == "factory" else lambda: protocol
        if kind == "udp":
            with pytest.raises(LookupError) as caught:
                await create_datagram_endpoint(factory, ("127.0.0.1", 9))
        else:
            with listening_as(kind, tmp_path) as listener:
                with pytest.raises(LookupError) as caught:
                    await create_connection(factory, address_of(listener))
                accepted, _ = listener.accept()
                with accepted:
                    assert accepted.recv(1) == b""
        assert caught.value is error
        assert protocol.told == ([] if where == "factory" else ["made", "lost"])
        await canaries.settle()

    async def test_a_factory_that_gives_no_protocol(self, pair: Any, canaries: Canaries) -> None:
        ours, theirs = pair
        hand_over = HandOver(lambda: None, asyncio.get_running_loop())
        await begin(hand_over, ours, maker())
        with pytest.raises(AttributeError, match="connection_made"):
            await hand_over.raise_error()
        assert ours.fileno() < 0
        assert theirs.recv(1) == b""
        await canaries.settle()

    async def test_a_socket_that_the_loop_does_not_take(self, canaries: Canaries) -> None:
        """It raises before there is a transport: nobody else closes the socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            with pytest.raises(ValueError, match="Stream"):
                await begin(HandOver(Told, asyncio.get_running_loop()), ours, maker())
            assert ours.fileno() < 0
        await canaries.settle()

    async def test_a_transport_that_cannot_be_made(self, pair: Any, canaries: Canaries) -> None:
        """It raises with the protocol made and the socket not taken."""
        ours, theirs = pair

        async def create(factory: Any, *, sock: socket.socket) -> Any:
            factory()
            raise OSError(errno.EMFILE, "no descriptor for epoll")

        with pytest.raises(OSError, match="epoll"):
            await begin(HandOver(Told, asyncio.get_running_loop()), ours, create)
        assert ours.fileno() < 0
        assert theirs.recv(1) == b""
        await canaries.settle()

    async def test_a_transport_without_a_connection_is_no_success(self, pair: Any) -> None:
        ours, _ = pair

        async def create(factory: Any, *, sock: socket.socket) -> Any:
            return object(), factory()

        with pytest.raises(ConnectionResetError):
            await begin(HandOver(Told, asyncio.get_running_loop()), ours, create)
        assert ours.fileno() < 0

    @pytest.mark.parametrize("reaction", ["abort", "close"])
    @pytest.mark.parametrize("kind", ["tcp", "unix", "udp"])
    async def test_a_protocol_that_hangs_up_at_once(
        self, kind: str, reaction: str, canaries: Canaries, tmp_path: Any
    ) -> None:
        if kind == "udp":
            transport, protocol = await create_datagram_endpoint(
                lambda: Told(reaction, canaries), ("127.0.0.1", 9)
            )
        else:
            with listening_as(kind, tmp_path) as listener:
                transport, protocol = await create_connection(
                    lambda: Told(reaction, canaries), address_of(listener)
                )
        assert transport.is_closing()
        for _ in range(3):
            canaries.sing()
            await asyncio.sleep(0)
        del transport
        gc.collect()  # nobody's socket object may close a canary
        await canaries.settle()
        assert protocol.told == ["made", "lost"]

    async def test_a_protocol_that_hangs_up_at_once_over_tls(
        self, canaries: Canaries, tmp_path: Any
    ) -> None:
        """On uvloop the socket object is left with the number of a closed descriptor."""
        certificates = Certificates()
        with tls_process(certificates.of(), tmp_path) as address:
            transport, protocol = await create_connection(
                lambda: Told("abort", canaries),
                address,
                ssl=certificates.client(),
                server_hostname=NAME,
            )
            assert transport.is_closing()
            for _ in range(3):
                canaries.sing()
                await asyncio.sleep(0)
            del transport
            gc.collect()
            await canaries.settle()
            assert protocol.told == ["made", "lost"]

    async def test_cancelled_again_while_it_cleans_up(self, pair: Any, canaries: Canaries) -> None:
        ours, _ = pair
        hand_over = HandOver(Told, asyncio.get_running_loop())
        task = asyncio.ensure_future(begin(hand_over, ours, maker()))
        while not task.done():
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        assert ours.fileno() < 0
        await canaries.settle()

    async def test_cancelled_while_a_users_error_is_cleaned_up(
        self, pair: Any, canaries: Canaries
    ) -> None:
        """The cancellation wins over the error, where there is something to wait for."""
        hand_over = HandOver(raising(LookupError()), asyncio.get_running_loop())
        await begin(hand_over, pair[0], maker())
        task = asyncio.ensure_future(hand_over.raise_error())
        await asyncio.sleep(0)
        asked = task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() is asked
        if not asked:
            assert isinstance(task.exception(), LookupError)
        assert pair[0].fileno() < 0
        await canaries.settle()


class TestClosed:
    pytestmark = on_each_loop

    async def test_what_nobody_closes(self, pair: Any) -> None:
        await closed(pair[0])
        assert pair[0].fileno() < 0

    async def test_what_is_closed_already(self, pair: Any) -> None:
        pair[0].close()
        await closed(pair[0])

    async def test_a_cancellation_is_passed_on(self, pair: Any) -> None:
        task = asyncio.ensure_future(closed(pair[0]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert pair[0].fileno() < 0


def test_take_over_leaves_the_other_without_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        number = ours.fileno()
        own = take_over(ours)
        with own:
            assert ours.fileno() == -1
            assert own.fileno() == number
            assert own.gettimeout() == 0
            assert (own.family, own.type, own.proto) == (ours.family, ours.type, ours.proto)


@pytest.mark.parametrize("new_loop", NEW_LOOPS[:3])
def test_the_interpreter_is_to_stop_in_a_users_callback(new_loop: Any, pair: Any) -> None:
    """It leaves run_until_complete(), as from any callback; nothing is left once that goes on."""
    ours, theirs = pair
    loop, complaints = new_runnable(new_loop)
    protocol = Told(KeyboardInterrupt())
    hand_over = HandOver(lambda: protocol, loop)
    task = loop.create_task(begin(hand_over, ours, loop.connect_accepted_socket))
    with pytest.raises(KeyboardInterrupt):
        for _ in range(10):
            one_turn(loop)
    task.cancel()
    while not task.done():
        one_turn(loop)
    loop.close()
    assert ours.fileno() < 0
    assert protocol.told == ["made", "lost"]
    assert theirs.recv(1) == b""
    assert not complaints


@pytest.mark.parametrize("new_loop", NEW_LOOPS[:3])
@pytest.mark.parametrize("turns", range(1, 4))
def test_the_loop_is_closed_meanwhile(new_loop: Any, turns: int, pair: Any) -> None:
    """The coroutine is closed after its loop, and cannot wait for anything any more."""
    ours, theirs = pair
    loop, _ = new_runnable(new_loop)
    hand_over = HandOver(Told, loop)
    task = loop.create_task(begin(hand_over, ours, loop.connect_accepted_socket))
    for _ in range(turns):
        one_turn(loop)
    ended = task.done()
    coroutine = task.get_coro()
    with warnings.catch_warnings():
        # What the loop and its transport say of being closed like this is theirs.
        warnings.simplefilter("ignore")
        loop.close()
        task._log_destroy_pending = False
        with open(os.devnull) as canary:
            with contextlib.suppress(RuntimeError):  # the loop's own, that it is closed
                coroutine.close()
            del task, coroutine, hand_over
            gc.collect()
            os.fstat(canary.fileno())
    assert ended or ours.fileno() < 0
    del ours
    assert theirs.recv(1) == b""


class FakeTransport:
    """One of asyncio's over TLS that has been closed twice: it has lost its protocol."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        raise AttributeError("_app_protocol")

    def get_extra_info(self, _: str) -> Any:
        return self.sock

    def abort(self) -> None:
        self.sock.close()


@pytest.mark.parametrize("has_transport", [False, True])
def test_the_coroutine_alone_is_closed(has_transport: bool, pair: Any) -> None:
    """The loop goes on: it closes what its transport has taken, and we what it has not."""

    async def create(hand_over: Any, *, sock: socket.socket) -> Any:
        if has_transport:
            hand_over.connection_made(FakeTransport(sock))
        await asyncio.sleep(1000)

    async def main() -> None:
        beginning = begin(HandOver(Told, asyncio.get_running_loop()), pair[0], create)
        beginning.send(None)
        beginning.close()
        assert pair[0].fileno() < 0

    asyncio.run(main())


def test_a_transport_that_cannot_tell_its_protocol(pair: Any) -> None:
    protocol = Told()

    async def create(hand_over: Any, *, sock: socket.socket) -> Any:
        hand_over.connection_made(FakeTransport(sock))
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await begin(HandOver(lambda: protocol, asyncio.get_running_loop()), pair[0], create)

    asyncio.run(main())
    assert pair[0].fileno() < 0
    assert protocol.told == ["made"]


def begin(hand_over: HandOver, sock: socket.socket, make: Any) -> Any:
    return hand_over.begin(sock, make(hand_over, sock=sock))


def maker() -> Any:
    return asyncio.get_running_loop().connect_accepted_socket


def listening_as(kind: str, tmp_path: Any) -> Any:
    return listening() if kind == "tcp" else unix_listening(tmp_path / "s")


def address_of(listener: socket.socket) -> Any:
    name = listener.getsockname()
    return f"unix:{name}" if isinstance(name, str) else name
