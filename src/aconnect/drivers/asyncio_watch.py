"""Waiting for many things at once on asyncio and uvloop: one task, one await.

Rules:

* Readiness callbacks, the timer and the tasks all set one waiter; `AsyncioWatch.wait` is the
  one point of cancellation.
* A socket is registered from `add` to `discard`, or to the wake-up that reports it; SO_ERROR
  is read before it is unregistered.
* When the watch has been left, nothing is registered, and its tasks have been cancelled.  After a
  cancellation or an error they have ended, too.  A cancellation that arrives while they are waited
  for is raised when they have.
* Who leaves it without an error has a result that is due, and a coroutine that is closed
  (GeneratorExit) cannot wait: a task that takes its time to clean up ends after them.  The end
  of the loop cancels it and waits for it, as asyncio.run() does.  What can wake it keeps it alive;
  one that nothing can wake goes with the garbage, and cleans up then.
* What a task raises is raised in the task that has the watch, for as long as it has it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ..sockets.syscalls import so_error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Coroutine
    from typing import Self

__all__ = ["AsyncioWatch", "start_timer", "until_ended", "wake"]

_ROUNDS: Final = 20
_ROUND: Final = 0.001
"""How often, and for how many seconds each, tasks that clean up are waited for where a result is
due: 20 milliseconds nobody minds.  Each takes a turn of the loop at least, however long that is,
and a transport is closed in eight."""

_SHORTEST_TIMER: Final = 0.001
"""uvloop rounds a delay to milliseconds, and one of 0 would have the waiter spin."""


class AsyncioWatch:
    """The sockets and tasks of one race, on one asyncio or uvloop event loop.

    Args:
        loop: one that runs only while this waits, so that a task that takes its time to clean up
            cannot end later; by default the running loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._rounds = _ROUNDS if loop is None else None
        self._waiter: asyncio.Future[None] | None = None
        self._notified = False
        self._watched: dict[socket.socket, int] = {}
        self._awaited: dict[socket.socket, tuple[int, bool]] = {}  # by tasks
        self._ready: list[socket.socket] = []
        self._tasks: dict[asyncio.Task[None], bool] = {}  # and whether it was cancelled
        self._raised: list[BaseException] = []  # by tasks
        self._left = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        for sock in list(self._watched):
            self.discard(sock)
        if self._loop.is_closed():
            return
        for task in self._tasks:
            self._cancel_soon(task)
        try:
            if kind is not GeneratorExit:
                await until_ended(self._tasks, None if kind else self._rounds)
        finally:
            self._left = True
            self._raise()

    def add(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        if fd < 0:
            self._watched[sock] = fd
            self._on_writable(sock)  # and SO_ERROR will be EBADF
            return
        self._loop.remove_writer(fd)  # a stale one of a descriptor closed without a word
        self._loop.add_writer(sock, self._on_writable, sock)
        self._watched[sock] = fd

    def discard(self, sock: socket.socket) -> None:
        fd = self._watched.pop(sock, -1)
        # One that was closed meanwhile may have left its number to another.
        if fd >= 0 and fd not in self._watched.values() and not self._loop.is_closed():
            self._loop.remove_writer(fd)

        if self._awaited:
            self._stop_waiting(sock)

    async def ready(self, sock: socket.socket, write: bool) -> None:
        fd, loop = sock.fileno(), self._loop
        if fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        waiter: asyncio.Future[None] = loop.create_future()
        # A stale one, of a descriptor closed without a word, goes first.
        if write:
            loop.remove_writer(fd)
            loop.add_writer(sock, wake, waiter, None)
        else:
            loop.remove_reader(fd)
            loop.add_reader(sock, wake, waiter, None)
        self._awaited[sock] = fd, write
        try:
            await waiter
        finally:
            self._stop_waiting(sock)

    def _stop_waiting(self, sock: socket.socket) -> None:
        fd, write = self._awaited.pop(sock, (-1, False))
        if fd >= 0 and not self._loop.is_closed():
            (self._loop.remove_writer if write else self._loop.remove_reader)(fd)

    def notify(self) -> None:
        self._notified = True
        if self._waiter is not None and not self._loop.is_closed():
            wake(self._waiter, None)

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> Callable[[], object]:
        task = self._loop.create_task(self._run(function, args))
        if not task.done():  # an eager one may be
            self._tasks[task] = False
            task.add_done_callback(self._tasks.pop)
        return partial(self._cancel_soon, task)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, None]], args: Any) -> None:
        try:
            await function(*args)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            if self._left:
                raise
            self._raised.append(error)
            self.notify()

    def _raise(self) -> None:
        """Raise what a task has raised, if one has."""
        if self._raised:
            try:
                raise self._raised[0]
            finally:
                self._raised.clear()  # its traceback leads to this frame

    def _cancel_soon(self, task: asyncio.Task[None]) -> None:
        """Cancel a task, once, when it has begun: one that never begins could not clean up."""
        if self._tasks.get(task) is False:
            self._tasks[task] = True
            self._loop.call_soon(task.cancel)

    async def wait(self, until: float) -> list[tuple[socket.socket, int]]:
        if not self._notified:
            self._waiter = self._loop.create_future()
            timer = start_timer(until, self._waiter, None)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._notified = False
        self._raise()
        ready = [(sock, so_error(sock)) for sock in self._ready if sock in self._watched]
        self._ready.clear()
        for sock, _ in ready:
            self.discard(sock)
        return ready

    def _on_writable(self, sock: socket.socket) -> None:
        if sock not in self._ready:
            self._ready.append(sock)
        self.notify()


async def until_ended(tasks: Collection[asyncio.Task[Any]], rounds: int | None = None) -> None:
    """Wait until all tasks have ended, whatever happens to the one that waits.

    If it is cancelled meanwhile, the cancellation is raised when they have.  A scope of anyio's
    that cancels it would do so again in every turn of the loop: it is told once.

    Args:
        rounds: how often to wait for them for `_ROUND`, if it is not cancelled.
    """
    cancelled: asyncio.CancelledError | None = None
    shield: Any = None
    while rounds != 0 and (pending := [task for task in tasks if not task.done()]):
        try:
            if rounds is None:
                await asyncio.wait(pending)
            else:
                rounds -= 1
                await asyncio.wait(pending, timeout=_ROUND)
        except asyncio.CancelledError as caught:
            cancelled = caught
            rounds = None
            if shield is None and "anyio._backends._asyncio" in sys.modules:
                shield = sys.modules["anyio"].CancelScope(shield=True)
                shield.__enter__()
    if shield is not None:
        shield.__exit__(None, None, None)
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled


def start_timer(
    when: float, waiter: asyncio.Future[Any], result: Any
) -> asyncio.TimerHandle | None:
    """Have ``waiter`` get ``result`` at the moment ``when``; None if that is never."""
    if when == inf:
        return None
    delay = max(when - time.monotonic(), _SHORTEST_TIMER)
    return waiter.get_loop().call_later(delay, wake, waiter, result)


def wake(waiter: asyncio.Future[Any], result: Any) -> None:
    """Have ``waiter`` get ``result``, unless something else came first."""
    if not waiter.done():
        waiter.set_result(result)
