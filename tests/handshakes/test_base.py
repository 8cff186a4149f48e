"""A handshake of the user's own: what it may say of itself, and what the dial makes of that."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import LOOPS_AND_DRIVERS
from support.listeners import listening

from aconnect import ConnectError, Dialer, Handshake, HandshakeError, Report
from aconnect.errors.foreign import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS_AND_DRIVERS, indirect=True),
]

LONG = 30  # seconds; what takes as long has failed
OWN = 0.05  # seconds that an attempt has for itself


def results(*addresses: Any) -> list[Any]:
    """What getaddrinfo() would have returned."""
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    return [(*kind, each) for each in addresses]


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class TestWords:
    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ValueError("no such user"), "no such user"),
            (OSError(errno.ECONNRESET, "gone"), "gone"),
            (OSError("no number"), "no number"),
            (EOFError(), "EOFError"),
            (KeyError("key"), "'key'"),
            (Mute(), "Mute"),
        ],
        ids=lambda each: each if isinstance(each, str) else type(each).__name__,
    )
    def test_of_an_error(self, error: Exception, said: str) -> None:
        assert words(error) == said
        assert Handshake(anyio.sleep).reason(error) == said


@pytest.mark.parametrize(
    ("names", "name", "kind"),
    [
        ({}, "handshake", "handshake"),
        ({"name": "SOCKS"}, "SOCKS", "SOCKS handshake"),
    ],
)
def test_its_name_makes_a_sentence(names: Any, name: str, kind: str) -> None:
    handshake = Handshake(anyio.sleep, **names)
    assert (handshake.name, handshake.kind) == (name, kind)
    assert handshake.details(None) == {}


class Greeting(Handshake[socket.socket]):
    """One with a call of its own, and a lot to say.

    With ``shy_of``, the call or `details` raises ``error`` on a connection to that address.
    """

    def __init__(self, shy_of: Any = None, where: str = "", error: Any = None) -> None:
        self.name = "greeting"
        self._shy_of = (where, shy_of)
        self._error = error

    async def __call__(self, sock: socket.socket) -> socket.socket:
        await anyio.sleep(0)
        self._greet("call", sock)
        return sock

    def details(self, result: socket.socket) -> dict[Any, Any]:
        self._greet("details", result)
        return {"version": 5, 1: None}

    def _greet(self, where: str, sock: socket.socket) -> None:
        if self._shy_of == (where, sock.getpeername()):
            raise self._error

    def reason(self, error: Exception) -> str:
        return f"it would not say hello ({error})"


class TestInADial:
    pytestmark = on_each_loop

    async def test_what_it_says_of_itself_is_in_the_report(self) -> None:
        reports: list[Report] = []
        with listening() as listener:
            peer = listener.getsockname()
            dialer = Dialer(on_report=reports.append)
            with await dialer.connect(peer, timeout=LONG, handshake=Greeting()) as sock:
                assert sock.getpeername() == peer
        (report,) = reports
        assert report.winner is not None
        handshake = report.winner.handshake
        assert handshake is not None
        assert (handshake.name, handshake.outcome, handshake.error) == ("greeting", "done", None)
        assert handshake.details == {"version": "5", "1": "None"}  # it may be written to a log
        story = report.to_dict()["attempts"][0]["handshake"]
        assert (story["name"], story["details"]) == ("greeting", handshake.details)
        assert "greeting" in str(report)

    @pytest.mark.parametrize("where", ["call", "details"])
    async def test_what_it_raises_is_an_address_that_lost(self, where: str) -> None:
        """What `details` raises does not differ."""
        report = Report()
        error = ValueError("shy")
        with listening() as one, listening("127.0.0.2") as two:
            first, second = one.getsockname(), two.getsockname()
            handshake = Greeting(first, where, error)
            connecting = Dialer(trace=report).connect(
                results(first, second), timeout=LONG, handshake=handshake
            )
            with await connecting as sock:
                assert sock.getpeername() == second
            with pytest.raises(HandshakeError) as caught:
                await Dialer().connect(first, timeout=LONG, handshake=handshake)
        lost = report.attempts[0].handshake
        assert lost is not None
        assert (lost.outcome, lost.error) == ("failed", "it would not say hello (shy)")
        said = "the greeting handshake failed: it would not say hello (shy)"
        (record,) = caught.value.attempts
        assert (record.phase, record.outcome, record.note) == ("handshake", "failed", said)
        assert str(caught.value).endswith(f"EPROTO: {said}")
        assert caught.value.__cause__ is error
        error.__traceback__ = None

    async def test_a_plain_callable_is_one_too(self) -> None:
        async def shake(_: socket.socket) -> None:
            raise ValueError("no")

        report = Report()
        with listening() as listener, pytest.raises(HandshakeError) as caught:
            dialer = Dialer(trace=report)
            await dialer.connect(listener.getsockname(), timeout=LONG, handshake=shake)
        assert str(caught.value).endswith("EPROTO: the handshake failed: no")
        assert report.attempts[0].handshake is not None
        assert report.attempts[0].handshake.name == "handshake"

    async def test_a_function_with_a_name(self) -> None:
        async def shake(sock: socket.socket) -> socket.socket:
            return sock

        report = Report()
        with listening() as listener:
            address = listener.getsockname()
            dialer = Dialer(trace=report)
            handshake = Handshake(shake, name="nothing much")
            with await dialer.connect(address, timeout=LONG, handshake=handshake) as sock:
                assert sock.getpeername() == address
        assert report.winner is not None
        assert report.winner.handshake is not None
        assert report.winner.handshake.name == "nothing much"
        assert report.winner.handshake.details == {}


class Occupied:
    """Descriptor numbers that have been taken from their sockets, and given to others.

    When it is left, all must be as they were.
    """

    def __init__(self) -> None:
        self.numbers: dict[int, socket.socket] = {}

    def take(self, sock: socket.socket) -> None:
        """Detach the number, close what it stood for, and put a connection of ours there."""
        number = sock.detach()
        ours, theirs = socket.socketpair()
        with ours:
            os.dup2(ours.fileno(), number)
        theirs.setblocking(False)
        self.numbers[number] = theirs

    def check(self) -> None:
        assert self.numbers
        for number, theirs in self.numbers.items():
            with theirs, socket.socket(fileno=number) as ours:
                linger = ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
                assert linger == bytes(8)
                ours.send(b"alive")
                assert theirs.recv(10) == b"alive"


@contextmanager
def occupied() -> Iterator[Occupied]:
    taken = Occupied()
    yield taken
    taken.check()


async def it_fails(shake: Callable[[Any], Any], one: Any, two: Any) -> None:
    async def then_fail(sock: socket.socket) -> None:
        await shake(sock)
        raise ValueError("after all")

    with pytest.raises(HandshakeError, match="after all") as caught:
        await Dialer().connect(one, timeout=LONG, handshake=then_fail)
    assert caught.value.attempts[0].local_address is not None  # which it knew before


async def details_fail(shake: Callable[[Any], Any], one: Any, two: Any) -> None:
    class Silent(Handshake[None]):
        def details(self, result: None) -> Any:
            raise ValueError("after all")

    with pytest.raises(HandshakeError, match="after all"):
        await Dialer().connect(one, timeout=LONG, handshake=Silent(shake))


async def its_time_is_up(shake: Callable[[Any], Any], one: Any, two: Any) -> None:
    async def and_stay(sock: socket.socket) -> socket.socket:
        if sock.getpeername() == one:
            await shake(sock)
            await anyio.sleep_forever()
        return sock

    dialer = Dialer(attempt_timeout=OWN)
    with await dialer.connect(results(one, two), timeout=LONG, handshake=and_stay) as sock:
        assert sock.getpeername() == two


async def the_deadline_passes(shake: Callable[[Any], Any], one: Any, two: Any) -> None:
    async def and_stay(sock: socket.socket) -> None:
        await shake(sock)
        await anyio.sleep_forever()

    with pytest.raises(ConnectError, match="deadline passed"):
        await Dialer().connect(one, timeout=OWN, handshake=and_stay)


async def the_call_is_cancelled(shake: Callable[[Any], Any], one: Any, two: Any) -> None:
    async def and_cancel(sock: socket.socket) -> None:
        await shake(sock)
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await Dialer().connect(one, timeout=LONG, handshake=and_cancel)
    assert scope.cancelled_caught


async def it_is_done_when_the_call_is_cancelled(
    shake: Callable[[Any], Any], one: Any, two: Any
) -> None:
    async def and_cancel(sock: socket.socket) -> object:
        await anyio.sleep(0)
        await shake(sock)
        scope.cancel()
        return object()

    with anyio.CancelScope() as scope:
        await Dialer().connect(one, timeout=LONG, handshake=and_cancel)
    assert scope.cancelled_caught


class TestADescriptorThatWasDetached:
    """It is the handshake's; its number may be somebody else's before the dial is over."""

    pytestmark = on_each_loop

    @pytest.mark.parametrize(
        "story",
        [
            it_fails,
            details_fail,
            its_time_is_up,
            the_deadline_passes,
            the_call_is_cancelled,
            it_is_done_when_the_call_is_cancelled,
        ],
        ids=lambda story: story.__name__.replace("_", " "),
    )
    async def test_is_not_touched_again(self, story: Any) -> None:
        with ExitStack() as stack:
            one = stack.enter_context(listening()).getsockname()
            two = stack.enter_context(listening("127.0.0.2")).getsockname()
            taken = stack.enter_context(occupied())

            async def shake(sock: socket.socket) -> None:
                taken.take(sock)

            await story(shake, one, two)
