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
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..syscalls import poll_now, so_error
from .asyncio_selector import AsyncioSelectorDriver, start_timer, wake

if TYPE_CHECKING:
    import socket

    from ..addresses import SockAddr

__all__ = ["AsyncioProactorDriver"]

_LOOK_FIRST: Final = 0.001
_LOOK_LONGEST: Final = 0.050
"""How often an attempt of somebody else's is looked at, in seconds: from a millisecond,
doubling, so that what is quick is seen quickly and what is slow costs nothing."""


class AsyncioProactorDriver(AsyncioSelectorDriver):
    """One asyncio event loop without `add_writer`."""

    completes = True

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        pause = _LOOK_FIRST
        while not poll_now(sock).writable:
            if monotonic() >= until:
                return None
            await self.sleep_until(min(monotonic() + pause, until))
            pause = min(pause * 2, _LOOK_LONGEST)
        return so_error(sock)

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_connect(sock, sockaddr))
        waiter: asyncio.Future[None] = loop.create_future()

        task.add_done_callback(lambda _: wake(waiter, None))
        timer = start_timer(until, waiter, None)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not task.done() and not loop.is_closed():
                await _cancel(task)
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


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has cleaned up, whatever happens to the one waiting."""
    cancelled: asyncio.CancelledError | None = None
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as caught:
            cancelled = caught
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled
