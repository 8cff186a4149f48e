"""Handshakes one after the other: what each gets, and what is told of each."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from conftest import ASYNCIO_LOOPS, LOOPS_AND_DRIVERS
from support.listeners import listening
from support.scenarios import ASYNCIO_LOOPS as LOOPS_TO_STEP
from support.scenarios import Scenario, cancel_at_every_step, cancel_at_every_step_of_trio

from aconnect import Dialer, Handshake, HandshakeError, Report, Sequence
from aconnect.trace import DialConnected, HandshakeEnded, HandshakeStarted, SocketClosed

if TYPE_CHECKING:
    from collections.abc import Callable

on_each_loop = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS_AND_DRIVERS, indirect=True),
]


class Wrapped:
    """What a layer may give: something around the socket, that can be closed."""

    def __init__(self, around: Any) -> None:
        self.around = around
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Layer(Handshake[Any]):
    """One that notes what it gets, and does as it is told."""

    def __init__(self, name: str, gives: Any = None, error: Exception | None = None) -> None:
        self.name = name
        self.got: list[Any] = []
        self._gives = gives
        self._error = error

    async def __call__(self, sock: Any) -> Any:
        self.got.append(sock)
        await anyio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error
        return self._gives(sock) if callable(self._gives) else self._gives

    def details(self, result: Any) -> dict[str, Any]:
        return {"of": self.name}


class Final(Layer):
    def is_final(self, error: Exception) -> bool:
        return True


async def nothing(sock: socket.socket) -> None:
    pass


class TestConstruction:
    @pytest.mark.parametrize("arguments", [(), (3,), (nothing, None)])
    def test_what_cannot_be_is_refused(self, arguments: Any) -> None:
        with pytest.raises((TypeError, ValueError), match=r"^handshakes must"):
            Sequence(*arguments)

    def test_its_name_has_all_names(self) -> None:
        inner = Sequence(Layer("one"), nothing)
        assert Sequence(inner, Layer("two")).name == "one, handshake, two"
        assert [each.name for each in Sequence(inner, inner).layers] == ["one", "handshake"] * 2

    def test_it_is_told_the_host_layer_by_layer(self) -> None:
        class Named(Layer):
            def towards(self, host: str | None) -> Handshake[Any]:
                return Layer(f"{self.name} towards {host}")

        assert Sequence(Named("TLS"), nothing).towards("db").name == "TLS towards db, handshake"
        alike = Sequence(nothing, nothing)
        assert alike.towards("db") is alike


@pytest.mark.anyio
async def test_each_gets_what_the_one_before_it_gave() -> None:
    one, two, three = Layer("one", Wrapped), Layer("two"), Layer("three", Wrapped)
    sequence = Sequence(one, two, three)
    result = await sequence("socket")  # type: ignore[arg-type]
    assert one.got == ["socket"]
    [around] = two.got
    assert around.around == "socket"
    assert three.got == [around], "None stands for the same once more"
    assert result.around is around
    assert sequence.details(result) == {"of": "three"}


@pytest.mark.anyio
async def test_the_result_is_that_of_the_last() -> None:
    assert await Sequence(Layer("one", Wrapped), Layer("two"))("socket") is None  # type: ignore[arg-type]


class TestInADial:
    pytestmark = on_each_loop

    async def test_each_has_its_events_and_its_row(self) -> None:
        report = Report()
        sequence = Sequence(Layer("one"), Layer("two", Wrapped), Layer("three", lambda it: it))
        with listening() as listener:
            result = await Dialer(trace=report).connect(
                listener.getsockname(), timeout=30, handshake=sequence
            )
            result.around.close()
        told = [
            (type(event), event.layer)
            for event in report.events
            if isinstance(event, (HandshakeStarted, HandshakeEnded))
        ]
        assert told == [
            (kind, at) for at in range(3) for kind in (HandshakeStarted, HandshakeEnded)
        ]
        assert type(report.events[-1]) is DialConnected
        [attempt] = report.attempts
        assert [each.name for each in attempt.handshakes] == ["one", "two", "three"]
        assert [each.outcome for each in attempt.handshakes] == ["done"] * 3
        assert [each.details for each in attempt.handshakes][1] == {"of": "two"}
        assert attempt.handshake is attempt.handshakes[-1]
        rows = report.draw().splitlines()
        assert [row.split()[0] for row in rows[3:6]] == ["one", "two", "three"]
        plain = report.to_dict()["attempts"][0]
        assert plain["handshake"] == plain["handshakes"][2]
        assert [each["layer"] for each in plain["handshakes"]] == [0, 1, 2]

    async def test_one_that_fails_is_named_and_what_was_given_is_closed(self) -> None:
        report = Report()
        made = []

        def wrap(sock: Any) -> Wrapped:
            made.append(Wrapped(sock))
            return made[-1]

        error = ConnectionAbortedError(errno.ECONNABORTED, "not today")
        sequence = Sequence(Layer("one", wrap), Layer("two", error=error), Layer("three"))
        with (
            listening() as listener,
            pytest.raises(HandshakeError, match="the two handshake failed: not today") as caught,
        ):
            await Dialer(trace=report).connect(
                listener.getsockname(), timeout=30, handshake=sequence
            )
        assert isinstance(caught.value, ConnectionAbortedError)
        assert caught.value.__cause__ is error
        assert [each.closed for each in made] == [1]
        [attempt] = report.attempts
        assert [each.outcome for each in attempt.handshakes] == ["done", "failed"]
        assert attempt.handshakes[1].error == "not today"
        [ended] = [e for e in report.events if isinstance(e, HandshakeEnded) and e.layer == 1]
        assert ended.error == "not today"

    async def test_what_details_raise_in_the_middle_is_its_failure(self) -> None:
        class Shy(Layer):
            def details(self, result: Any) -> Any:
                raise ValueError("I shall not tell")

        shy = Sequence(Shy("shy"), Layer("never"))
        with (
            listening() as listener,
            pytest.raises(HandshakeError, match="the shy handshake failed: I shall not tell"),
        ):
            await Dialer().connect(listener.getsockname(), timeout=30, handshake=shy)

    async def test_one_that_times_out_is_named(self) -> None:
        report = Report()
        sequence = Sequence(Layer("one"), Handshake(forever, name="two"))
        with listening() as listener, pytest.raises(TimeoutError):
            await Dialer(trace=report, attempt_timeout=0.25).connect(
                listener.getsockname(), timeout=30, handshake=sequence
            )
        [attempt] = report.attempts
        assert [each.outcome for each in attempt.handshakes] == ["done", "timed out"]
        assert isinstance(report.events[-2], SocketClosed)

    async def test_a_failure_that_is_final_ends_the_dial(self) -> None:
        final = Final("login", error=PermissionError(errno.EACCES, "wrong password"))
        with ExitStack() as stack:
            each = [stack.enter_context(listening(f"127.0.0.{n}")).getsockname() for n in (1, 2)]
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            with pytest.raises(HandshakeError, match="wrong password") as caught:
                await Dialer().connect(
                    [(*kind, address) for address in each],
                    timeout=30,
                    handshake=Sequence(Layer("one"), final),
                )
        assert len(caught.value.attempts) == 1
        assert isinstance(caught.value, PermissionError)


async def forever(_: Any) -> None:
    await anyio.sleep_forever()


class Stubborn(Layer):
    """Takes a cancellation for an answer."""

    async def __call__(self, sock: Any) -> Any:
        try:
            await anyio.sleep_forever()
        except BaseException:
            return Wrapped(sock)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ASYNCIO_LOOPS, indirect=True)
async def test_one_that_swallows_its_cancellation_is_the_last() -> None:
    never = Layer("never")
    with listening() as listener, pytest.raises(TimeoutError):
        await Dialer(attempt_timeout=0.05).connect(
            listener.getsockname(), timeout=30, handshake=Sequence(Stubborn("it"), never)
        )
    assert not never.got


class Layered(Scenario):
    """Three layers, each of which waits, and of which the second gives something to close."""

    address: Any

    def start(self) -> Any:
        self.made: list[Wrapped] = []

        def wrap(sock: Any) -> Wrapped:
            self.made.append(Wrapped(sock))
            return self.made[-1]

        sequence = Sequence(Layer("one"), Layer("two", wrap), Layer("three", lambda it: it))
        return Dialer().connect(self.address, timeout=30, handshake=sequence)

    def check(self, won: Any) -> None:
        for each in self.made:
            assert each.closed >= (each is not won)

    def close(self, won: Any) -> None:
        won.around.close()


@pytest.mark.parametrize("new_loop", LOOPS_TO_STEP)
def test_cancelled_at_every_step(
    new_loop: Callable[[], Any], monkeypatch: Any, tmp_path: Any
) -> None:
    with ExitStack() as stack:
        scene = Layered(stack, monkeypatch, tmp_path)
        scene.address = stack.enter_context(listening()).getsockname()
        cancel_at_every_step(new_loop, scene)


def test_cancelled_at_every_step_of_trio(monkeypatch: Any, tmp_path: Any) -> None:
    with ExitStack() as stack:
        scene = Layered(stack, monkeypatch, tmp_path)
        scene.address = stack.enter_context(listening()).getsockname()
        cancel_at_every_step_of_trio(scene)
