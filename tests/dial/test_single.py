"""The quick way of a single address: what it does itself, and what the race takes up from it."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.listeners import listening, refusing, silent
from support.sockets import SocketFactory, open_with

from aconnect import (
    AddressNotPermitted,
    ConnectError,
    ConnectTimeout,
    Dialer,
    Handshake,
    HandshakeError,
    Report,
)
from aconnect.handshakes.base import BoundedHandshake, OutOfTime
from aconnect.sockets.syscalls import SystemCalls

if TYPE_CHECKING:
    from aconnect.trace import Event

pytestmark = pytest.mark.anyio

LONG = 30
WON = ["DialStarted", "AttemptStarted", "AttemptEnded", "DialConnected"]


class Asked:
    """A policy, a hook or a listener that counts."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.told: list[Any] = []

    def __call__(self, *told: Any) -> Any:
        self.told.append(told)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Shake(BoundedHandshake[str]):
    """One that keeps to a moment by itself."""

    def __init__(self, error: Exception | None = None) -> None:
        self.name = "test"
        self.error = error
        self.until: list[float] = []

    async def within(self, sock: socket.socket, until: float) -> str:
        self.until.append(until)
        if self.error is None:
            sock.close()
            return "done"
        sock.close()
        raise self.error

    async def __call__(self, sock: socket.socket) -> str:
        raise AssertionError("there was no need for a race")


@pytest.fixture
def no_race(monkeypatch: Any) -> None:
    monkeypatch.setattr("aconnect.dial.single.race", None)


def names(events: list[tuple[Event]]) -> list[str]:
    return [type(event).__name__ for (event,) in events]


@pytest.mark.usefixtures("no_race")
class TestWithoutARace:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"permit": lambda _: True},
            {"on_socket": lambda *_: None},
            {"trace": lambda _: None},
            {"on_report": lambda _: None},
            {"attempt_timeout": LONG},
            {"tos": 8},
            {"family": socket.AF_INET},
        ],
        ids="".join,
    )
    async def test_connected_at_once(self, options: Any) -> None:
        with (
            listening() as listener,
            await Dialer(**options).connect(listener.getsockname(), timeout=LONG) as sock,
        ):
            assert sock.getpeername() == listener.getsockname()

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"permit": lambda _: True},
            {"on_socket": lambda *_: None},
            {"attempt_timeout": LONG},
        ],
        ids="".join,
    )
    async def test_waited_for(self, options: Any, monkeypatch: Any) -> None:
        with listening() as listener:
            open_with(monkeypatch, SocketFactory({"getpeername": [errno.ENOTCONN]}))
            dialer = Dialer(**options)
            with await dialer.connect(listener.getsockname(), timeout=LONG) as sock:
                assert not sock.script["getpeername"]  # type: ignore[attr-defined]

    async def test_all_are_asked_and_told_once(self) -> None:
        permit, hook, trace, reports = Asked(True), Asked(), Asked(), Asked()
        dialer = Dialer(permit=permit, on_socket=hook, trace=trace, on_report=reports)
        with listening() as listener, await dialer.connect(listener.getsockname()) as sock:
            assert [endpoint.sockaddr for (endpoint,) in permit.told] == [sock.getpeername()]
            assert [told for told, _ in hook.told] == [sock]
            assert names(trace.told) == WON
            [(report,)] = reports.told
            assert report.winner.local_address == sock.getsockname()

    async def test_a_handshake_that_keeps_to_a_moment(self) -> None:
        handshake = Shake()
        with listening() as listener:
            result = await Dialer().connect(listener.getsockname(), handshake=handshake)
        assert result == "done"
        assert handshake.until == [float("inf")]


class TestWhatTheRaceTakesUp:
    async def test_a_refusal_by_policy(self) -> None:
        permit, trace = Asked(False), Asked()
        with pytest.raises(AddressNotPermitted):
            await Dialer(permit=permit, trace=trace).connect(("127.0.0.1", 1))
        assert len(permit.told) == 1
        assert names(trace.told) == ["DialStarted", "AttemptStarted", "AttemptEnded", "DialFailed"]

    @pytest.mark.parametrize("told", [False, True])
    async def test_a_hook_that_refuses(self, told: bool) -> None:
        hook, reports = Asked(ValueError("no")), Asked()
        dialer = Dialer(on_socket=hook, on_report=reports if told else None)
        with pytest.raises(ConnectError, match="on_socket refused it: no") as caught:
            await dialer.connect(("127.0.0.1", 1))
        [(sock, _)] = hook.told
        assert sock.fileno() == -1
        assert isinstance(caught.value.__cause__, ValueError)
        assert [each.outcome for each in caught.value.attempts] == ["failed"]
        if told:
            [(report,)] = reports.told
            assert report.attempts[0].closed is not None

    async def test_a_hook_that_has_to_wait(self) -> None:
        asked = []

        async def hook(sock: socket.socket, _: Any) -> None:
            await anyio.sleep(0)
            asked.append(sock)

        with (
            listening() as listener,
            await Dialer(on_socket=hook).connect(listener.getsockname()) as sock,
        ):
            assert asked == [sock]

    @pytest.mark.parametrize("options", [{}, {"permit": lambda _: True}], ids="".join)
    async def test_no_socket_to_be_had(self, options: Any) -> None:
        calls = Asked(OSError(errno.EMFILE, "too many"))
        dialer = Dialer(system_calls=SystemCalls(socket=calls), **options)
        with pytest.raises(ConnectError) as caught:
            await dialer.connect(("127.0.0.1", 1))
        assert caught.value.errno == errno.EMFILE
        assert len(calls.told) == 1

    @pytest.mark.parametrize("told", [False, True])
    async def test_a_refusal(self, told: bool) -> None:
        reports = Asked()
        with refusing() as dead, pytest.raises(ConnectionRefusedError) as caught:
            await Dialer(on_report=reports if told else None).connect(dead)
        assert len(caught.value.attempts) == 1  # type: ignore[attr-defined]
        if told:
            [(report,)] = reports.told
            assert caught.value.report is report  # type: ignore[attr-defined]
            assert [type(event).__name__ for event in report.events] == [
                *("DialStarted", "AttemptStarted", "AttemptEnded", "SocketClosed", "DialFailed")
            ]

    async def test_an_attempt_that_runs_out_of_its_own_time(self) -> None:
        with silent() as dead, pytest.raises(ConnectTimeout, match="its own time limit was up"):
            await Dialer(attempt_timeout=0.01).connect(dead, timeout=LONG)

    async def test_a_handshake_that_fails(self) -> None:
        handshake = Shake(ConnectionResetError(errno.ECONNRESET, "gone"))
        with listening() as listener, pytest.raises(HandshakeError, match="gone") as caught:
            await Dialer().connect(listener.getsockname(), handshake=handshake)
        error = caught.value
        assert error.errno == errno.ECONNRESET
        assert error.report is not None
        assert [type(event).__name__ for event in error.report.events] == [
            *("DialStarted", "AttemptStarted", "AttemptEnded", "HandshakeStarted"),
            *("HandshakeEnded", "SocketClosed", "DialFailed"),
        ]
        [record] = error.attempts
        assert record.local_address is not None

    @pytest.mark.parametrize("limit", ["deadline", "attempt"])
    async def test_a_handshake_that_runs_out_of_time(self, limit: str) -> None:
        handshake = Shake(OutOfTime())
        dialer = Dialer(attempt_timeout=0.02 if limit == "attempt" else None)
        timeout = 0.02 if limit == "deadline" else LONG
        with listening() as listener, pytest.raises(ConnectTimeout) as caught:
            await dialer.connect(listener.getsockname(), timeout=timeout, handshake=handshake)
        assert caught.value.phase == "handshake"
        assert len(handshake.until) == 1

    async def test_a_handshake_of_any_kind(self) -> None:
        async def shake(sock: socket.socket) -> socket.socket:
            return sock

        report = Report()
        with (
            listening() as listener,
            await Dialer(trace=report).connect(
                listener.getsockname(), handshake=Handshake(shake, name="mine")
            ),
        ):
            pass
        assert report.winner is not None
        assert report.winner.handshake is not None
        assert [type(event).__name__ for event in report.events].count("AttemptStarted") == 1


class Stop(BaseException):
    pass


class TestInterrupts:
    @pytest.mark.parametrize("where", ["permit", "on_socket", "trace"])
    async def test_nothing_is_left_and_the_end_is_told(self, where: str) -> None:
        seen: list[Any] = []
        opened: list[socket.socket] = []

        def trace(event: Event) -> None:
            seen.append(event)
            if where == "trace" and type(event).__name__ == "AttemptEnded":
                raise Stop

        def make(*arguments: Any) -> socket.socket:
            opened.append(socket.socket(*arguments))
            return opened[-1]

        options = {where: Asked(Stop())} if where != "trace" else {}
        dialer = Dialer(**{"trace": trace, **options}, system_calls=SystemCalls(socket=make))
        with listening() as listener, pytest.raises(Stop):
            await dialer.connect(listener.getsockname())
        assert [sock.fileno() for sock in opened] == [-1] * len(opened)
        if where != "trace":
            assert type(seen[-1]).__name__ == "DialCancelled"

    @pytest.mark.parametrize(
        ("raised", "error"),
        [(OverflowError("no such port"), ConnectError), (Stop("stop"), Stop)],
        ids=repr,
    )
    async def test_an_address_that_the_socket_module_makes_nothing_of(
        self, raised: BaseException, error: Any
    ) -> None:
        opened: list[socket.socket] = []

        class Strange(socket.socket):
            def connect_ex(self, _: Any) -> int:
                raise raised

        def make(*arguments: Any) -> socket.socket:
            opened.append(Strange(*arguments))
            return opened[-1]

        with pytest.raises(error, match=str(raised)):
            await Dialer(system_calls=SystemCalls(socket=make)).connect(("127.0.0.1", 1))
        assert [sock.fileno() for sock in opened] == [-1]
