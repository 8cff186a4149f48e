"""The virtual clock: time passes at once, and exactly."""

from __future__ import annotations

import asyncio
import math
import socket
import sys
import threading
import time
from typing import Any

import anyio
import pytest
import trio
import uvloop

from aconnect import Deadline, aconnect
from aconnect.testing import VirtualClock

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])

REAL = time.monotonic


async def sleep(backend: str, seconds: float) -> None:
    await (trio.sleep(seconds) if backend == "trio" else asyncio.sleep(seconds))


@BACKENDS
def test_an_hour_takes_no_time_and_is_one_exactly(backend: str) -> None:
    async def main(seconds: float) -> str:
        deadline = Deadline.after(seconds)
        await sleep(backend, seconds)
        assert deadline.expired
        return "done"

    begun = REAL()
    clock = VirtualClock()
    assert clock.run(main, 3600, backend=backend) == "done"
    assert clock.elapsed == 3600
    assert REAL() - begun < 600


@BACKENDS
def test_it_is_on_inside_of_with_alone(backend: str) -> None:
    before = time.monotonic()
    with pytest.raises(ZeroDivisionError), VirtualClock() as clock:
        assert time.monotonic() == clock.now
        assert before <= clock.now < before + 60
        clock.run(sleep, backend, 5, backend=backend)
        assert clock.elapsed == 5
        raise ZeroDivisionError
    assert time.monotonic is REAL
    assert clock.elapsed == 5


def test_there_is_but_one() -> None:
    with VirtualClock(), pytest.raises(RuntimeError, match="is already on"), VirtualClock():
        raise AssertionError
    assert time.monotonic is REAL
    with VirtualClock():
        pass


def test_it_can_be_turned_on_again() -> None:
    clock = VirtualClock()
    for backend in ("trio", "asyncio"):
        clock.run(sleep, backend, 2, backend=backend)
        assert clock.elapsed == 2


def test_time_goes_on_from_one_loop_to_the_next() -> None:
    with VirtualClock() as clock:
        for backend in ("trio", "trio", "asyncio", "trio", "asyncio"):
            clock.run(sleep, backend, 0.5, backend=backend)
        assert clock.elapsed == 2.5


def test_what_needs_it_to_be_on_says_so() -> None:
    clock = VirtualClock()
    for call in (clock.new_event_loop, clock.new_trio_clock, lambda: clock.advance(1)):
        with pytest.raises(RuntimeError, match="use it in a with statement"):
            call()


def test_there_are_two_backends() -> None:
    with pytest.raises(ValueError, match="'uvloop': its clock is in C"):
        VirtualClock().run(sleep, "asyncio", 1, backend="uvloop")
    with pytest.raises(ValueError, match="not 'curio'"):
        VirtualClock().run(sleep, "asyncio", 1, backend="curio")


@pytest.mark.parametrize(
    ("seconds", "error"),
    [(-1, ValueError), (math.inf, ValueError), (math.nan, ValueError), ("1", TypeError)],
)
def test_time_passes_by_a_number_of_seconds(seconds: Any, error: Any) -> None:
    with VirtualClock() as clock, pytest.raises(error, match=r"seconds must be .*, not"):
        clock.advance(seconds)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_has_elapsed_is_a_round_number(backend: str) -> None:
    for tenths in range(1, 100):
        with VirtualClock() as clock:
            clock.run(anyio.sleep, tenths / 10, backend=backend)
        assert clock.elapsed == tenths / 10


def test_time_passes_by_hand() -> None:
    with VirtualClock() as clock:
        deadline = Deadline.after(3)
        clock.advance(2)
        assert deadline.remaining() == 1
        clock.advance(1)
        assert deadline.expired
    assert clock.elapsed == 3


@BACKENDS
def test_time_passes_by_hand_in_a_loop(backend: str) -> None:
    async def main() -> float:
        clock.advance(7)
        await sleep(backend, 1)
        return clock.elapsed

    clock = VirtualClock()
    assert clock.run(main, backend=backend) == 8


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks: Python 3.12")
def test_eager_tasks() -> None:
    with VirtualClock() as clock:
        loop = clock.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(sleep("asyncio", 0.125))
        assert clock.elapsed == 0.125


def test_what_is_ready_comes_before_a_timer() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        told: list[str] = []
        timer = loop.create_future()
        near, far = socket.socketpair()
        with near, far:
            far.setblocking(False)
            far.send(b"!")
            loop.call_later(0.001, lambda: timer.set_result(told.append("timer")))
            loop.add_reader(near, lambda: told.append("socket") or loop.remove_reader(near))
            await timer
        return told

    assert VirtualClock().run(main) == ["socket", "timer"]


def test_a_loop_without_a_timer_waits_for_a_thread() -> None:
    """And the end of the loop waits for it as well, though asyncio sets a timer there."""

    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

    with VirtualClock() as clock:
        assert clock.run(main) != threading.get_ident()
        assert clock.elapsed == 0


def test_uvloop_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="keeps time by itself"):
            await aconnect("192.0.2.1:9", timeout=1)  # before there is a socket
        with pytest.raises(RuntimeError, match="keeps time by itself"):
            Deadline.after(1)

    with VirtualClock():
        uvloop.run(main())


def test_a_loop_of_another_is_refused() -> None:
    loop = asyncio.new_event_loop()
    loop.call_soon(list)
    with VirtualClock(), pytest.raises(RuntimeError, match="keeps time by itself"):
        loop.run_forever()
    loop.close()


def test_trio_by_another_clock_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="or trio by clock"):
            Deadline.after(1)

    with VirtualClock() as clock:
        trio.run(main)
        trio.run(sleep, "trio", 9, clock=clock.new_trio_clock())
        assert clock.elapsed == 9


def test_threads_see_it_unless_they_have_a_loop_of_their_own() -> None:
    seen: dict[str, Any] = {}

    async def loop() -> None:
        seen["loop"] = time.monotonic()
        await asyncio.sleep(0.001)

    def run() -> None:
        seen["thread"] = time.monotonic()
        asyncio.run(loop())

    with VirtualClock() as clock:
        clock.advance(10_000)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert seen["thread"] == clock.now
        assert seen["loop"] < clock.now - 5_000
