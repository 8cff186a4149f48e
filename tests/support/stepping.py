"""Run a coroutine until a certain step of the event loop, cancel it there, and look around.

Rules:

* A step is one turn of the event loop.  On asyncio and uvloop the turns are made one by one
  (`stop()` before `run_forever()` makes a turn of one round); on trio they are counted by an
  instrument.
* A step never waits: time passes between the steps, so that timers come due one at a time.
* When the coroutine ends before the step is reached, it was not cancelled, and there are no
  more steps to try.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any

import trio

Start = Callable[[], Coroutine[Any, Any, Any]]

STEP_SECONDS = 0.0004


class CountingLoop(asyncio.SelectorEventLoop):
    """An asyncio loop that can tell what is registered with it."""

    def __init__(self) -> None:
        self.watched = selectors.DefaultSelector()
        super().__init__(self.watched)

    def leftovers(self) -> list[str]:
        """The writers and timers that are still there."""
        writers = [
            f"writer of descriptor {key.fd}"
            for key in self.watched.get_map().values()
            if key.events & selectors.EVENT_WRITE
        ]
        timers = [repr(timer) for timer in self._scheduled if not timer.cancelled()]
        return writers + timers


def cancel_at(
    loop: asyncio.AbstractEventLoop,
    start: Start,
    step: int,
    limit: int = 20_000,
    *,
    again: bool = False,
) -> tuple[asyncio.Task[Any], bool]:
    """Run ``start()`` as a task, cancel it after ``step`` turns, run until it has ended.

    Args:
        limit: how many turns it may take to end.
        again: cancel it again after every further turn.

    Returns:
        The task, which is done, and whether it was cancelled before it had ended.
    """
    context = {"task": None}

    async def begin() -> None:
        context["task"] = asyncio.ensure_future(start())

    loop.run_until_complete(begin())
    task: Any = context["task"]
    for _ in range(step):
        if task.done():
            return task, False
        one_turn(loop)
    cancelled = task.cancel()
    for _ in range(limit):
        if task.done():
            return task, cancelled
        one_turn(loop)
        if again:
            task.cancel()
    raise AssertionError(f"still running after {limit} turns: {task!r}")


def one_turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()
    time.sleep(STEP_SECONDS)


class CancelAt(trio.abc.Instrument):
    """Cancels a scope in the n-th turn of a trio run's loop."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope = scope
        self._left = step

    def after_io_wait(self, timeout: float) -> None:
        if self._left == 0:
            self._scope.cancel()
        self._left -= 1


def trio_cancel_at(start: Start, step: int) -> tuple[Any, bool]:
    """Run ``start()`` under trio and cancel it in turn ``step``.

    Returns:
        What it returned (None if it was cancelled), and whether it was.
    """

    async def main() -> tuple[Any, bool]:
        result = None
        with trio.CancelScope() as scope:
            instrument = CancelAt(scope, step)
            trio.lowlevel.add_instrument(instrument)
            try:
                result = await start()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        return result, scope.cancelled_caught

    return trio.run(main)
