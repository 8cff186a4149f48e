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
import ssl
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from conftest import ASYNCIO_LOOPS
from support.canaries import Canaries
from support.listeners import listening, unix_listening
from support.loops import ForgetfulLoop
from support.scenarios import ASYNCIO_LOOPS as NEW_LOOPS
from support.scenarios import new_runnable
from support.stepping import one_turn
from support.tls import NAME, Certificates
from support.tls_server import tls_process

from aconnect import create_connection, create_datagram_endpoint, open_stream
from aconnect.transports.hand_over import HandOver, closed, lent, plain, take_over

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
                await create_datagram_endpoint(factory, None, ("127.0.0.1", 9))
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
                lambda: Told(reaction, canaries), None, ("127.0.0.1", 9)
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

    async def test_a_transport_that_takes_its_time(self, pair: Any) -> None:
        """It closes the socket, and nobody else does; what it does not tell is told."""
        ours, _ = pair
        protocol = Told(LookupError())
        hand_over = HandOver(lambda: protocol, asyncio.get_running_loop())
        await begin(hand_over, ours, made_by(SlowTransport))
        with pytest.raises(LookupError):
            await hand_over.raise_error()
        assert hand_over.transport.closed
        assert protocol.told == ["made", "lost"]

    async def test_a_transport_that_tells_nobody(self, pair: Any) -> None:
        """As uvloop's does if create_connection() is cancelled."""
        ours, _ = pair
        open_then: list[bool] = []

        class Protocol(Told):
            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                open_then.append(ours.fileno() >= 0)

        protocol = Protocol()
        hand_over = HandOver(lambda: protocol, asyncio.get_running_loop())
        with pytest.raises(asyncio.CancelledError):
            await begin(hand_over, ours, made_by(SlowTransport, asyncio.CancelledError()))
        assert hand_over.transport.closed
        assert protocol.told == ["made", "lost"]
        assert open_then == [False]

    async def test_what_was_raised_goes_with_the_last_reference_to_it(self, pair: Any) -> None:
        class Bug(Exception):
            """One that can be watched."""

        def factory() -> Told:
            raise Bug

        hand_over = HandOver(factory, asyncio.get_running_loop())
        await begin(hand_over, pair[0], maker())
        gc.disable()
        try:
            try:
                await hand_over.raise_error()
            except Bug as error:
                watched = weakref.ref(error)
            assert watched() is None
        finally:
            gc.enable()

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

    @pytest.mark.parametrize("turns", [0, 1, 2, 7])
    async def test_it_takes_one_turn_more_than_the_socket(self, pair: Any, turns: int) -> None:
        """In which the protocol is told; and no more."""
        happened: list[str] = []

        def tell() -> None:
            happened.append("told")
            after(1, lambda: happened.append("too late"))

        def close() -> None:
            happened.append("open" if pair[0].fileno() >= 0 else "closed by another")
            pair[0].close()
            after(1, tell)

        after(turns, close)
        await closed(pair[0])
        assert happened == ["open", "told"]

    async def test_a_cancellation_is_passed_on(self, pair: Any) -> None:
        task = asyncio.ensure_future(closed(pair[0]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert pair[0].fileno() < 0


class TestLent:
    """The object tells whether its descriptor is open, whatever somebody did with the number."""

    def test_what_succeeds(self, pair: Any) -> None:
        number = pair[0].fileno()
        with lent(pair[0]):
            pass
        assert pair[0].fileno() == number

    def test_what_fails_and_leaves_it_open(self, pair: Any) -> None:
        number = pair[0].fileno()
        with pytest.raises(LookupError), lent(pair[0]):
            raise LookupError
        assert pair[0].fileno() == number

    def test_what_closes_it(self, pair: Any) -> None:
        with pytest.raises(LookupError), lent(pair[0]):
            pair[0].close()
            raise LookupError
        assert pair[0].fileno() == -1

    @pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError, GeneratorExit])
    def test_what_closes_the_number(self, pair: Any, error: type[BaseException]) -> None:
        with pytest.raises(error), lent(pair[0]):
            os.close(pair[0].fileno())
            raise error
        assert pair[0].fileno() == -1

    def test_what_closes_the_number_for_somebody_else(self, pair: Any) -> None:
        ours, theirs = pair
        with open(os.devnull) as stranger, pytest.raises(LookupError):
            number = ours.fileno()
            with lent(ours):
                os.dup2(stranger.fileno(), number)
                raise LookupError
        assert ours.fileno() == -1
        os.close(number)
        assert theirs.recv(1) == b""


@pytest.mark.parametrize("call", [create_connection, open_stream])
def test_a_loop_that_closes_the_number_and_not_the_socket(call: Any) -> None:
    tls = {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server_hostname": NAME}
    first = (asyncio.Protocol,) if call is create_connection else ()
    with listening() as listener, ForgetfulLoop() as loop:
        loop.run_cancelled(lambda: call(*first, listener.getsockname(), **tls))


def test_what_is_plain_is_left_alone(pair: Any) -> None:
    assert plain(pair[0]) is pair[0]


def test_what_is_not_is_taken_over(pair: Any) -> None:
    class Special(socket.socket):
        """As TLS and others have."""

    with Special(fileno=pair[0].detach()) as special:
        number = special.fileno()
        with plain(special) as own:
            assert type(own) is socket.socket
            assert own.fileno() == number
            assert special.fileno() == -1


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
            assert ended or ours.fileno() < 0
            del task, coroutine, hand_over
            gc.collect()
            os.fstat(canary.fileno())
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


class SlowTransport(FakeTransport):
    """One that closes its socket some turns later, and tells nobody."""

    closed = False

    def get_protocol(self) -> Any:
        return self.protocol

    def abort(self) -> None:
        after(5, self.close)

    def close(self) -> None:
        self.closed |= self.sock.fileno() >= 0
        self.sock.close()


def made_by(kind: Any, error: BaseException | None = None) -> Any:
    """A method of a loop that makes such a transport, and then raises."""

    async def create(hand_over: Any, *, sock: socket.socket) -> None:
        hand_over.connection_made(kind(sock))
        if error is not None:
            raise error

    return create


def after(turns: int, call: Any) -> None:
    """Have the loop call something after some of its turns."""
    if turns:
        asyncio.get_running_loop().call_soon(after, turns - 1, call)
    else:
        call()


@pytest.mark.parametrize("has_transport", [False, True])
def test_the_coroutine_alone_is_closed(has_transport: bool, pair: Any) -> None:
    """The loop goes on: it closes what its transport has taken, and we what it has not."""

    async def create(hand_over: Any, *, sock: socket.socket) -> Any:
        if has_transport:
            hand_over.connection_made(SlowTransport(sock))
        await asyncio.sleep(1000)

    async def main() -> None:
        hand_over = HandOver(Told, asyncio.get_running_loop())
        beginning = begin(hand_over, pair[0], create)
        beginning.send(None)
        beginning.close()
        assert (pair[0].fileno() >= 0) is has_transport
        await closed(pair[0])
        assert not has_transport or hand_over.transport.closed

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
