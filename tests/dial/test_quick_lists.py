"""Several addresses, or a name, without a race: what refuses is passed by.

What has to wait, or comes to nothing, the race takes up.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import open_descriptors
from support.listeners import LOOPBACK, listening, refusing, silent
from support.sockets import SocketFactory, open_with

from aconnect import (
    ConnectError,
    ConnectTimeout,
    Dialer,
    Endpoint,
    Report,
    ResolveError,
    SystemResolver,
    TCPAddress,
    aconnect,
)
from aconnect.dial.lookup import _Waited
from aconnect.handshakes.base import BoundedHandshake
from aconnect.sockets.syscalls import SystemCalls, open_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio

LONG = 30
NAME = "db.example"


def results(*sockaddrs: Any) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in sockaddrs]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def no_race(monkeypatch: Any) -> None:
    monkeypatch.setattr("aconnect.dial.single.race", None)


@pytest.fixture
def opened(monkeypatch: Any) -> list[socket.socket]:
    sockets: list[socket.socket] = []

    def opening(endpoint: Endpoint, *_: Any) -> socket.socket:
        sockets.append(open_socket(endpoint))
        return sockets[-1]

    monkeypatch.setattr("aconnect.sockets.settings.open_socket", opening)
    return sockets


def answering(monkeypatch: Any, *sockaddrs: Any, after: Any = None) -> list[Any]:
    """Have getaddrinfo(3) give these; what it was asked."""
    asked: list[Any] = []

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked.append((host, port))
        if after is not None:
            after()
        return results(*sockaddrs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


class Shake(BoundedHandshake[str]):
    """One that keeps to a moment by itself."""

    name = "test"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def within(self, sock: socket.socket, until: float) -> str:
        sock.close()
        if self.error is not None:
            raise self.error
        return "done"

    async def __call__(self, sock: socket.socket) -> str:
        raise AssertionError("there was no need for a race")


@pytest.mark.usefixtures("no_race")
class TestWithoutARace:
    @pytest.mark.parametrize("refuse", [0, 1, 3])
    async def test_what_refuses_is_passed_by(
        self, refuse: int, stack: ExitStack, opened: list[socket.socket]
    ) -> None:
        none = [stack.enter_context(refusing()) for _ in range(refuse)]
        there = stack.enter_context(listening()).getsockname()
        with await Dialer().connect(results(*none, there), timeout=LONG) as sock:
            assert sock.getpeername() == there
            assert [each.fileno() >= 0 for each in opened] == [False] * refuse + [True]

    async def test_an_address_that_is_there_twice(self, opened: list[socket.socket]) -> None:
        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            (await Dialer().connect(results(none, none, there), timeout=LONG)).close()
        assert len(opened) == 2

    async def test_all_are_asked(self) -> None:
        asked: list[Any] = []

        def permit(endpoint: Endpoint) -> bool:
            asked.append(endpoint.sockaddr)
            return True

        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            (await Dialer(permit=permit).connect(results(none, there), timeout=LONG)).close()
        assert asked == [none, there]

    async def test_a_handshake_with_the_last(self, opened: list[socket.socket]) -> None:
        with refusing() as none, listening() as listener:
            addresses = results(none, listener.getsockname())
            assert await Dialer().connect(addresses, timeout=LONG, handshake=Shake()) == "done"
        assert all(each.fileno() < 0 for each in opened)

    async def test_families_take_turns(self, opened: list[socket.socket]) -> None:
        with socket.socket(socket.AF_INET6) as six, refusing() as four, listening() as listener:
            six.bind(("::1", 0))
            there = listener.getsockname()
            addresses = results(four, there)
            addresses.insert(1, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", six.getsockname()))
            for prefer, order in (
                (None, [socket.AF_INET, socket.AF_INET6, socket.AF_INET]),
                (socket.AF_INET6, [socket.AF_INET6, socket.AF_INET, socket.AF_INET]),
            ):
                opened.clear()
                (await Dialer(prefer=prefer).connect(addresses, timeout=LONG)).close()
                assert [each.family for each in opened] == order

    async def test_a_name(self, monkeypatch: Any, opened: list[socket.socket]) -> None:
        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            asked = answering(monkeypatch, none, there)
            with await aconnect(NAME, 80, timeout=LONG) as sock:
                assert sock.getpeername() == there
        assert asked == [(NAME, 80)]
        assert len(opened) == 2

    async def test_of_a_family(self, monkeypatch: Any) -> None:
        with listening() as listener:
            answering(monkeypatch, listener.getsockname())
            (await Dialer(family=socket.AF_INET).connect(NAME, 80, timeout=LONG)).close()


class TestWhatTheRaceTakesUp:
    async def test_all_refuse(self, opened: list[socket.socket]) -> None:
        """The error is the one that a race gives, and each was tried once."""
        with refusing() as one, refusing() as two, refusing() as three:
            found = []
            for trace in (None, Report()):
                before = len(opened)
                with pytest.raises(ConnectionRefusedError) as caught:
                    await Dialer(trace=trace).connect(results(one, two, three), timeout=LONG)
                assert len(opened) - before == 3
                error: Any = caught.value
                found.append(
                    [
                        (each.sockaddr, each.outcome, each.errno, each.phase, each.number)
                        for each in error.attempts
                    ]
                )
                starts = [each.start for each in error.attempts]
                ends = [each.end for each in error.attempts]
                assert sorted([*starts, *ends]) == [
                    moment for pair in zip(starts, ends, strict=True) for moment in pair
                ]
                assert str(error).count("nothing is listening there") == 3
                assert isinstance(error.__cause__, ExceptionGroup)
                assert len(error.report.attempts) == 3
        assert found[0] == found[1]
        assert all(each.fileno() < 0 for each in opened)

    async def test_one_that_is_silent_and_one_that_is_there(self) -> None:
        with refusing() as none, silent() as mute, listening() as listener:
            there = listener.getsockname()
            dialer = Dialer(attempt_delay=0.01)
            with await dialer.connect(results(none, mute, there), timeout=LONG) as sock:
                assert sock.getpeername() == there

    async def test_one_that_is_silent(self, opened: list[socket.socket]) -> None:
        with refusing() as none, silent() as mute, pytest.raises(ConnectTimeout) as caught:
            await Dialer().connect(results(none, mute), timeout=0.02)
        assert [each.outcome for each in caught.value.attempts] == ["failed", "timed out"]
        assert len(opened) == 2

    async def test_one_by_one_the_first_is_closed_before_the_next_is_opened(
        self, opened: list[socket.socket], monkeypatch: Any
    ) -> None:
        states = []

        def hook(sock: socket.socket, _: Endpoint) -> None:
            states.append([each.fileno() >= 0 for each in opened])

        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            dialer = Dialer(attempt_delay=None, on_socket=hook)
            (await dialer.connect(results(none, there), timeout=LONG)).close()
        assert states == [[True], [False, True]]

    async def test_what_the_policy_refuses_after_a_refusal(self) -> None:
        with refusing() as none, listening() as one, listening() as two:
            refused, there = one.getsockname(), two.getsockname()
            asked: list[Any] = []

            def permit(endpoint: Endpoint) -> bool:
                asked.append(endpoint.sockaddr)
                return endpoint.sockaddr != refused

            dialer = Dialer(permit=permit)
            with await dialer.connect(results(none, refused, there), timeout=LONG) as sock:
                assert sock.getpeername() == there
            assert asked == [none, refused, there]

    async def test_there_is_but_one_descriptor(self) -> None:
        """It is enough: the race closes what was refused before it opens the next."""
        held: list[socket.socket] = []

        def make(*kind: Any) -> socket.socket:
            if any(each.fileno() >= 0 for each in held):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            held.append(socket.socket(*kind))
            return held[-1]

        dialer = Dialer(system_calls=SystemCalls(socket=make))
        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            with await dialer.connect(results(none, there), timeout=LONG) as sock:
                assert sock.getpeername() == there

    async def test_a_handshake_that_fails_after_a_refusal(self) -> None:
        with refusing() as none, listening() as listener, pytest.raises(ConnectError) as caught:
            addresses = results(none, listener.getsockname())
            handshake = Shake(ValueError("no"))
            await Dialer().connect(addresses, timeout=LONG, handshake=handshake)
        assert [each.phase for each in caught.value.attempts] == ["connect", "handshake"]

    async def test_a_handshake_of_any_kind_after_a_refusal(self) -> None:
        async def shake(sock: socket.socket) -> Any:
            return sock

        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            for more in ([], [there]):
                addresses = results(none, there, *more)
                with await Dialer().connect(addresses, timeout=LONG, handshake=shake) as sock:
                    assert sock.getpeername() == there

    async def test_cancelled_while_the_second_waits(self, opened: list[socket.socket]) -> None:
        before = open_descriptors()
        with refusing() as none, silent() as mute:
            with anyio.move_on_after(0.02) as scope:
                await aconnect(results(none, mute))
            assert scope.cancelled_caught
        assert [each.fileno() for each in opened] == [-1, -1]
        assert open_descriptors() == before

    async def test_interrupted_in_the_second(self, opened: list[socket.socket]) -> None:
        def hook(sock: socket.socket, endpoint: Endpoint) -> None:
            if len(opened) == 2:
                raise KeyboardInterrupt

        with refusing() as none, listening() as listener:
            addresses = results(none, listener.getsockname())
            with pytest.raises(KeyboardInterrupt):
                await Dialer(on_socket=hook).connect(addresses)
        assert [each.fileno() for each in opened] == [-1, -1]

    async def test_a_false_alarm_of_the_second(self, monkeypatch: Any) -> None:
        with refusing() as none, listening() as listener:
            there = listener.getsockname()
            later = {"getpeername": [errno.ENOTCONN] * 2, "so_error": [errno.EINPROGRESS]}
            open_with(monkeypatch, SocketFactory({}, later))
            with await aconnect(results(none, there), timeout=LONG) as sock:
                assert sock.getpeername() == there


class TestNames:
    async def test_a_wait_that_ended_a_little_early_goes_on(self, monkeypatch: Any) -> None:
        class Early:
            async def run_blocking(self, *_: Any) -> None:
                return None

        answering(monkeypatch, (LOOPBACK, 80))
        waited, address = _Waited(SystemResolver()), TCPAddress(NAME, 80)
        driver: Any = Early()
        assert await waited.wait(address, driver, 0.0) is None
        found = [batch async for batch in waited.resolve(address)]
        assert [each.sockaddr for batch in found for each in batch.endpoints] == [(LOOPBACK, 80)]

    async def test_a_name_without_an_address(self, monkeypatch: Any) -> None:
        def getaddrinfo(*_: Any, **__: Any) -> Any:
            asked.append(1)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        asked: list[int] = []
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(ResolveError) as caught:
            await aconnect(NAME, 80, timeout=LONG)
        assert caught.value.errno == socket.EAI_NONAME
        assert asked == [1]
        assert isinstance(caught.value.__cause__, socket.gaierror)
        assert caught.value.report is not None
        assert "EAI_NONAME" in str(caught.value.report)

    async def test_an_answer_without_the_family(self, monkeypatch: Any) -> None:
        asked = answering(monkeypatch, (LOOPBACK, 80))
        with pytest.raises(ResolveError):
            await Dialer(family=socket.AF_INET6).connect(NAME, 80, timeout=LONG)
        assert asked == [(NAME, 80)]

    async def test_too_late(self, monkeypatch: Any) -> None:
        go = threading.Event()
        answering(monkeypatch, (LOOPBACK, 80), after=go.wait)
        try:
            with pytest.raises(ConnectTimeout) as caught:
                await aconnect(NAME, 80, timeout=0.02)
        finally:
            go.set()
        assert caught.value.phase == "resolve"
        assert caught.value.elapsed >= 0.02
        assert "timed out" in str(caught.value.report)

    async def test_cancelled(self, monkeypatch: Any) -> None:
        go = threading.Event()
        answering(monkeypatch, (LOOPBACK, 80), after=go.wait)
        before = open_descriptors()
        try:
            with anyio.move_on_after(0.02) as scope:
                await aconnect(NAME, 80)
        finally:
            go.set()
        assert scope.cancelled_caught
        assert open_descriptors() == before

    async def test_the_report_of_an_error_has_the_lookup(self, monkeypatch: Any) -> None:
        with refusing() as none:
            answering(monkeypatch, none)
            start = time.monotonic()
            with pytest.raises(ConnectionRefusedError) as caught:
                await aconnect(NAME, 80, timeout=LONG)
        report = caught.value.report  # type: ignore[attr-defined]
        assert report.phase_seconds["resolve"] <= time.monotonic() - start
        assert "from memory" not in str(report)

    async def test_who_is_told_is_told_before_the_answer(self, monkeypatch: Any) -> None:
        told: list[str] = []
        seen: list[list[str]] = []
        with listening() as listener:
            answering(monkeypatch, listener.getsockname(), after=lambda: seen.append(told.copy()))
            dialer = Dialer(trace=lambda event: told.append(type(event).__name__))
            (await dialer.connect(NAME, 80, timeout=LONG)).close()
        assert seen == [["DialStarted", "ResolutionStarted"]]

    async def test_families_apart_are_raced(self, monkeypatch: Any) -> None:
        with listening() as listener:
            asked = answering(monkeypatch, listener.getsockname())
            dialer = Dialer(resolver=SystemResolver(by_family=True))
            (await dialer.connect(NAME, 80, timeout=LONG)).close()
        assert len(asked) == 2
