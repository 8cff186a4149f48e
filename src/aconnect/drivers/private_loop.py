"""The event loop that a thread keeps for what its blocking calls cannot do without tasks.

Rules:

* A thread makes its loop when it first needs one, and keeps it; it is closed when the thread ends,
  or the interpreter.  The child of a fork makes its own.
* It runs only inside `PrivateLoop.run`, so it is nobody's running loop at any other time.
* Its selector is poll(2), which keeps nothing in the kernel: a child of a fork that closes what it
  has inherited takes nothing from its parent.
* What interrupts `run`, such as Ctrl-C, may come between any two steps of the loop, and one of
  them may be lost.  So it is given a moment to clean up, and then closed for good.

Source: "Concurrency and multithreading" in the documentation of asyncio; fork(2), epoll(7).
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import finalize

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["PrivateLoop", "forget_private_loop", "private_loop"]

T = TypeVar("T")

_CLEANING_UP: Final = 1.0
"""Seconds for what an interruption ends: a clean-up takes a few turns of the loop, and who has
pressed Ctrl-C waits for it."""

# Windows lacks poll(2), and has no fork(2).
_Selector: Final[Any] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class PrivateLoop:
    """An event loop of the standard library that is run from time to time, by one thread.

    Attributes:
        loop: the loop.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(_Selector())
        self.pid: int = os.getpid()
        self._close = finalize(self, _close, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the loop until the coroutine is done, and return or raise what it does.

        Raises:
            BaseException: also what interrupts the thread meanwhile, as a signal handler may.
                The coroutine has been cancelled then, and the loop is of no more use.
        """
        task = None
        try:
            task = self.loop.create_task(coroutine)
            return self.loop.run_until_complete(task)
        except BaseException as error:
            if not _raised_by(task, error):
                self.give_up()
            raise

    @property
    def usable(self) -> bool:
        """Whether it runs again."""
        return not self.loop.is_closed()

    def give_up(self) -> None:
        """Cancel all that is left, let it clean up for a moment, and close the loop."""
        if not self.usable:
            return
        # The interruption may have come just as it was about to stop.
        loop: Any = self.loop
        loop._thread_id = None
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                enough = self.loop.call_later(_CLEANING_UP, self.loop.stop)
                with suppress(RuntimeError):  # it was enough
                    self.loop.run_until_complete(_ended(tasks))
                enough.cancel()
        finally:
            for task in asyncio.all_tasks(self.loop):
                _abandon(task)
            self.close()

    def close(self) -> None:
        """Close it; once is enough."""
        self._close()


def _raised_by(task: asyncio.Task[Any] | None, error: BaseException) -> bool:
    """Whether the loop is well, and the task has raised this."""
    return task is not None and task.done() and not task.cancelled() and task.exception() is error


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _abandon(task: Any) -> None:
    """Have a task that nothing can wake any more release what it holds, without a word."""
    task._log_destroy_pending = False
    with suppress(Exception):
        task.get_coro().close()


def _close(loop: asyncio.AbstractEventLoop) -> None:
    # The end of the interpreter leaves threads behind, and what runs there.
    if not loop.is_running():
        loop.close()


class _Kept(threading.local):
    loop: PrivateLoop | None = None


_kept: Final = _Kept()


def private_loop() -> PrivateLoop:
    """The loop that this thread keeps.

    Raises:
        OSError: there is no descriptor left for one.
    """
    kept = _kept.loop
    if kept is None or kept.pid != os.getpid() or not kept.usable:
        if kept is not None:
            kept.close()
        kept = _kept.loop = PrivateLoop()
    return kept


def forget_private_loop() -> None:
    """Give up the loop that this thread keeps, if it keeps one."""
    if _kept.loop is not None:
        _kept.loop.give_up()
        _kept.loop = None
