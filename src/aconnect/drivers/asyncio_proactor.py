"""Connecting on an asyncio loop that has no `add_writer`, such as Windows' proactor.

Rules:

* The loop's own `sock_connect` makes the connection.  What it says is not believed until
  getpeername(2) has confirmed it, which is the caller's part.
* It runs in a task of its own, so that a deadline ends the wait without cancelling the
  task that waits.  The wait is not over before that task is.
* Where somebody else started the attempt, all that such a loop can do is look: a poll(2)
  or select(2) that does not wait, on a timer.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ..sockets.syscalls import poll_now, ready_now, so_error
from .asyncio_selector import AsyncioSelectorDriver
from .asyncio_watch import AsyncioWatch, start_timer, until_ended, wake

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection

    from ..addresses.values import SockAddr

__all__ = ["AsyncioProactorDriver"]

_LOOK_FIRST: Final = 0.001
_LOOK_LONGEST: Final = 0.050
"""How often an attempt of somebody else's is looked at, in seconds: from a millisecond,
doubling, so that what is quick is seen quickly and what is slow costs nothing."""


class AsyncioProactorDriver(AsyncioSelectorDriver):
    """One asyncio event loop without `add_writer`."""

    completes = True

    def watch(self) -> AsyncioWatch:
        return _PollingWatch(self)

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        pause = _LOOK_FIRST
        while not poll_now(sock).writable:
            if time.monotonic() >= until:
                return None
            await self.sleep_until(min(time.monotonic() + pause, until))
            pause = min(pause * 2, _LOOK_LONGEST)
        return so_error(sock)

    async def wait_readable(
        self,
        socks: Collection[socket.socket],
        until: float,
        *,
        writable: Collection[socket.socket] = (),
    ) -> list[socket.socket]:
        pause = _LOOK_FIRST
        while True:
            ready = [sock for sock in socks if ready_now(sock, write=False)]
            ready += [sock for sock in writable if ready_now(sock, write=True)]
            if ready or time.monotonic() >= until:
                return ready
            await self.sleep_until(min(time.monotonic() + pause, until))
            pause = min(pause * 2, _LOOK_LONGEST)

    async def converse(
        self, sock: socket.socket, until: float, step: Callable[[], bool | None]
    ) -> bool:
        while (write := step()) is not None:
            reading, writing = ((), (sock,)) if write else ((sock,), ())
            if not await self.wait_readable(reading, until, writable=writing):
                return False
        return True

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_connect(sock, sockaddr))
        waiter: asyncio.Future[None] = loop.create_future()

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # seen, should the wait have ended before it was told
            wake(waiter, None)

        task.add_done_callback(done)
        timer = start_timer(until, waiter, None)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not task.done() and not loop.is_closed():
                task.cancel()
                await until_ended([task])
        if task.cancelled():
            return None
        error = task.exception()
        if error is None:
            return 0
        try:
            if isinstance(error, OSError) and error.errno is not None:
                return error.errno
            raise error
        finally:
            del error, task  # each leads back to this frame


class _PollingWatch(AsyncioWatch):
    """A watch that looks at its sockets, on timers."""

    def __init__(self, driver: AsyncioProactorDriver) -> None:
        super().__init__()
        self._driver = driver
        self._cancel: dict[socket.socket, Callable[[], object]] = {}

    def add(self, sock: socket.socket) -> None:
        self._watched[sock] = sock.fileno()
        self._cancel[sock] = self.spawn(self._look, sock)

    def discard(self, sock: socket.socket) -> None:
        if self._watched.pop(sock, None) is not None and not self._loop.is_closed():
            self._cancel.pop(sock)()

    async def ready(self, sock: socket.socket, write: bool) -> None:
        pause = _LOOK_FIRST
        while not ready_now(sock, write):
            await self._driver.sleep_until(time.monotonic() + pause)
            pause = min(pause * 2, _LOOK_LONGEST)

    async def _look(self, sock: socket.socket) -> None:
        while not poll_now(sock).writable:
            await self._driver.sleep_until(time.monotonic() + _LOOK_LONGEST)
        self._on_writable(sock)
