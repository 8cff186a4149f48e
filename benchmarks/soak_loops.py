"""What `soak.py` needs of an event loop, in the loop's own words.

Rules:

* A cancellation is what a user's would be: that of a task on asyncio, of a scope on trio.
* What is counted is counted by public means.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Cancellation", "OnAsyncio", "OnTrio", "run"]

MANY_TIMERS = 200
"""asyncio keeps cancelled timers until there are 100, and more than there are others."""


class Cancellation(NamedTuple):
    """When a dial is to be cancelled: after some steps of the loop, or after some seconds."""

    steps: int | None
    seconds: float


def run(loop: str, main: Callable[[Any], Awaitable[None]]) -> None:
    """Run ``main`` with what goes with the event loop of that name."""
    if loop == "trio":
        import trio

        trio.run(main, OnTrio())
    elif loop == "uvloop":
        import uvloop

        uvloop.run(main(OnAsyncio()))
    else:
        asyncio.run(main(OnAsyncio()))  # type: ignore[arg-type]


class OnAsyncio:
    """asyncio and uvloop."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, work: Callable[[], Any], count: int) -> None:
        """Run as many at a time, and wait for all."""
        await asyncio.gather(*[work() for _ in range(count)])

    async def cancelling(self, dial: Callable[[], Any], when: Cancellation | None) -> bool:
        """Dial in a task, and cancel it then; whether it came to its end before."""
        task = asyncio.ensure_future(dial())
        timer = None
        if when is not None:
            loop = asyncio.get_running_loop()
            if when.steps is None:
                timer = loop.call_later(when.seconds, task.cancel)
            else:
                _cancel_after(loop, task, when.steps)
        try:
            await task
        except asyncio.CancelledError:
            return False
        finally:
            if timer is not None:
                timer.cancel()
        return True

    async def settle(self) -> None:
        """Have the loop throw away what has been cancelled."""
        loop = asyncio.get_running_loop()
        for _ in range(MANY_TIMERS):
            loop.call_later(1, int).cancel()
        await asyncio.sleep(0.01)

    def tasks(self) -> int:
        return len(asyncio.all_tasks())

    def timers(self) -> int:
        """Those that are neither over nor cancelled; asyncio's and uvloop's have the same name."""
        handles = [each for each in gc.get_objects() if type(each).__name__ == "TimerHandle"]
        return sum(not handle.cancelled() for handle in handles)


def _cancel_after(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], steps: int) -> None:
    if steps == 0 or task.done():
        task.cancel()
    else:
        loop.call_soon(_cancel_after, loop, task, steps - 1)


class OnTrio:
    """trio."""

    def __init__(self) -> None:
        self._trio = sys.modules["trio"]
        self._nursery: Any = None

    async def sleep(self, seconds: float) -> None:
        await self._trio.sleep(seconds)

    async def together(self, work: Callable[[], Any], count: int) -> None:
        async with self._trio.open_nursery() as self._nursery:
            for _ in range(count):
                self._nursery.start_soon(work)

    async def cancelling(self, dial: Callable[[], Any], when: Cancellation | None) -> bool:
        if when is None:
            await dial()
            return True
        with self._trio.CancelScope() as scope:
            if when.steps is None:
                scope.deadline = self._trio.current_time() + when.seconds
            else:
                self._nursery.start_soon(self._cancel_after, scope, when.steps)
            await dial()
            return True
        return False

    async def _cancel_after(self, scope: Any, steps: int) -> None:
        for _ in range(steps):
            await self._trio.lowlevel.checkpoint()
        scope.cancel()

    async def settle(self) -> None:
        await self._trio.sleep(0.01)

    def tasks(self) -> int:
        return int(self._trio.lowlevel.current_statistics().tasks_living)

    def timers(self) -> int:
        """1 if there is any deadline: how many there are, trio does not tell."""
        return int(self._trio.lowlevel.current_statistics().seconds_to_next_deadline != inf)
