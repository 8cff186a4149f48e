"""Scenarios: what a call meets, to be cancelled at every step of every loop.

After each step: no open descriptor, no registered writer, no pending timer, no task, nothing
for the loop's exception handler; and a cancellation that was asked for is one that happened.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from conftest import open_descriptors, wait_for_threads

from aconnect import ConnectError
from support.loops import NoWriterLoop
from support.sockets import SocketFactory, open_with
from support.stepping import CountingLoop, cancel_at, one_turn, trio_cancel_at

if TYPE_CHECKING:
    import contextlib

MOST_STEPS = 400


def eager_loop() -> CountingLoop:
    loop = CountingLoop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    return loop


ASYNCIO_LOOPS = [
    pytest.param(CountingLoop, id="asyncio"),
    pytest.param(
        eager_loop,
        id="eager",
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks: Python 3.12"),
    ),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
    pytest.param(NoWriterLoop, id="no add_writer"),
]


class Scenario:
    """What a call meets.  ``start`` makes the coroutine; ``stack`` holds what it needs."""

    start: Any

    def __init__(self, stack: contextlib.ExitStack, monkeypatch: Any, tmp_path: Any) -> None:
        self.stack = stack
        self.monkeypatch = monkeypatch
        self.path = tmp_path / "s"

    def script(self, *scripts: dict[str, list[Any]]) -> None:
        """Have each run start anew with sockets of these scripts."""

        def copies() -> SocketFactory:
            return SocketFactory(
                *({name: list(answers) for name, answers in each.items()} for each in scripts)
            )

        self.renew = lambda: open_with(self.monkeypatch, copies())

    def renew(self) -> None:
        """Nothing to renew, unless there is a script."""

    def check(self, won: Any) -> None:
        """Whether all is as it has to be, ``won`` being what the call gave, or None."""

    def close(self, won: Any) -> None:
        """Close what the call gave."""
        won.close()


def new_runnable(new_loop: Any) -> tuple[asyncio.AbstractEventLoop, list[Any]]:
    """A loop that has run, and the list of what its exception handler will be told."""
    loop: asyncio.AbstractEventLoop = new_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    loop.run_until_complete(asyncio.sleep(0))
    return loop, complaints


def cancel_at_every_step(new_loop: Any, scene: Scenario, again: bool = False) -> None:
    loop, complaints = new_runnable(new_loop)
    try:
        for step in range(MOST_STEPS):
            scene.renew()
            before = open_descriptors()
            task, cancelled = cancel_at(loop, scene.start, step, again=again)
            assert task.cancelled() is cancelled, step
            won = None if cancelled else result_of(task)
            scene.check(won)
            if won is not None:
                scene.close(won)
            del task, won
            assert_nothing_left(loop, step)
            wait_for_threads()
            one_turn(loop)
            assert open_descriptors() <= before, step
            assert not complaints, (step, complaints)
            if not cancelled:
                break
        else:
            raise AssertionError(f"still not at its end after {MOST_STEPS} steps")
    finally:
        loop.close()


def assert_nothing_left(loop: asyncio.AbstractEventLoop, step: Any = None) -> None:
    one_turn(loop)
    one_turn(loop)
    assert not asyncio.all_tasks(loop), step
    if isinstance(loop, CountingLoop):
        assert not loop.leftovers(), step


def result_of(task: asyncio.Task[Any]) -> Any:
    """What a task has won; what it failed with must be of the right kind."""
    error = task.exception()
    if error is None:
        return task.result()
    assert isinstance(error, ConnectError), repr(error)
    return None


def cancel_at_every_step_of_trio(scene: Scenario) -> None:
    for step in range(MOST_STEPS):
        scene.renew()
        before = open_descriptors()
        try:
            won, cancelled = trio_cancel_at(scene.start, step)
        except ConnectError:
            won, cancelled = None, False
        scene.check(won)
        if won is not None:
            scene.close(won)
        wait_for_threads()
        assert open_descriptors() <= before, step
        # A turn in which nothing can be cancelled any more is the last one.
        if not cancelled:
            break
    else:
        raise AssertionError(f"still not at its end after {MOST_STEPS} steps")
