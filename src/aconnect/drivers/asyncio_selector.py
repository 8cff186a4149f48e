"""Waiting on asyncio and uvloop, with `loop.add_writer`.

Rules:

* One future is what every callback sets and the one thing that is awaited: one point of
  cancellation, one `finally`.
* A socket that has become writable is unregistered before the waiter is set: the task runs one
  turn of the loop later, and that turn would report it once more.
* The socket object, not its number, is registered: libuv aborts the process when a
  number is closed under it.  The number is what is unregistered: a closed socket has none.
* A cancelled wait that has not cleaned up yet gives way to a new wait on the same socket
  and later leaves that one's registration alone.  A wait that is still alive does not:
  the new one fails with EALREADY.
* A registration that is found, of such a wait or of a descriptor that anybody closed without
  unregistering it, is removed before another is made: the selector would believe that the new
  socket is being watched already.
* A timer is a timer: our own deadline never cancels a task.
* Nothing here keeps a future, and with it the loop, alive: a loop that is closed while a task
  waits takes all that waits with it.  Whoever waits keeps its own.
"""

from __future__ import annotations

import asyncio
import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import ref

from ..sockets.syscalls import so_error
from .asyncio_conversation import Conversation
from .asyncio_watch import AsyncioWatch, start_timer, wake
from .threads import start_lookup

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection

    from ..addresses.values import SockAddr
    from .threads import Job

__all__ = ["AsyncioSelectorDriver"]

T = TypeVar("T")


class AsyncioSelectorDriver:
    """One asyncio or uvloop event loop."""

    completes = False
    checkpoint = None  # an awaitable that has nothing to wait for need not yield in asyncio

    def __init__(self) -> None:
        # Not the loop, nor what leads to it: it is the key that this driver is kept under.
        self._waiters: dict[int, tuple[ref[socket.socket], ref[asyncio.Future[bool]]]] = {}

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        loop = asyncio.get_running_loop()
        fd = sock.fileno()
        if fd < 0:
            return errno.EBADF
        if fd in self._waiters:
            self._give_way(fd)
        loop.remove_writer(fd)
        waiter: asyncio.Future[bool] = loop.create_future()
        loop.add_writer(sock, self._on_writable, loop, fd, waiter)
        self._waiters[fd] = (ref(sock), ref(waiter))
        timer = start_timer(until, waiter, False)
        writable = False
        try:
            writable = await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not writable:
                self._unregister(loop, fd, waiter)
        return so_error(sock) if writable else None

    def _on_writable(
        self, loop: asyncio.AbstractEventLoop, fd: int, waiter: asyncio.Future[bool]
    ) -> None:
        self._unregister(loop, fd, waiter)
        wake(waiter, True)

    def _unregister(
        self, loop: asyncio.AbstractEventLoop, fd: int, waiter: asyncio.Future[bool]
    ) -> None:
        """Unregister the socket of a wait, unless that has been done, or another has come."""
        registered = self._waiters.get(fd)
        if registered is not None and registered[1]() is waiter:
            del self._waiters[fd]
            if not loop.is_closed():
                loop.remove_writer(fd)

    def _give_way(self, fd: int) -> None:
        """Have a wait that is over in all but name leave its descriptor to another.

        Raises:
            OSError: EALREADY, it is not over.
        """
        sock, waiter = self._waiters[fd]
        still, waiting = sock(), waiter()
        if still is not None and waiting is not None:
            if not waiting.done() and still.fileno() == fd:
                raise OSError(errno.EALREADY, os.strerror(errno.EALREADY))
            wake(waiting, True)  # its socket was closed under it, or it is over already
        del self._waiters[fd]

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        raise NotImplementedError("this loop tells when a socket is writable")

    async def wait_readable(
        self,
        socks: Collection[socket.socket],
        until: float,
        *,
        writable: Collection[socket.socket] = (),
    ) -> list[socket.socket]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        ready: dict[socket.socket, None] = {}
        timer = start_timer(until, waiter, None)
        added: list[tuple[Callable[[int], object], int]] = []

        def is_ready(sock: socket.socket) -> None:
            ready[sock] = None
            wake(waiter, None)

        try:
            for sock in socks:
                number = sock.fileno()
                loop.remove_reader(number)
                loop.add_reader(sock, is_ready, sock)
                added.append((loop.remove_reader, number))
            for sock in writable:
                number = sock.fileno()
                loop.remove_writer(number)
                loop.add_writer(sock, is_ready, sock)
                added.append((loop.remove_writer, number))
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not loop.is_closed():
                for remove, number in added:
                    remove(number)
            added.clear()
        return [*ready]

    async def converse(
        self, sock: socket.socket, until: float, step: Callable[[], bool | None]
    ) -> bool:
        wanted = step()
        if wanted is None:
            return True
        conversation = Conversation(asyncio.get_running_loop(), sock, step)
        timer = start_timer(until, conversation.over, False)
        try:
            conversation.listen(wanted)
            return await conversation.over
        finally:
            if timer is not None:
                timer.cancel()
            conversation.end()

    def watch(self) -> AsyncioWatch:
        return AsyncioWatch()

    async def sleep_until(self, when: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = start_timer(when, waiter, None)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def start_blocking(
        self, call: Callable[[], T], deliver: Callable[[T | None, BaseException | None], None]
    ) -> Job:
        return start_lookup(call, deliver, partial(_call_soon, ref(asyncio.get_running_loop())))

    async def run_blocking(self, call: Callable[[], T], until: float) -> T | None:
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = self.start_blocking(call, partial(_deliver, ref(waiter)))
        timer = start_timer(until, waiter, (None, None))
        try:
            result, error = await waiter
        finally:
            job.abandon()
            if timer is not None:
                timer.cancel()
        if error is not None:
            try:
                raise error
            finally:
                del error, waiter  # each leads back to this frame
        return cast("T | None", result)


def _deliver(to: ref[asyncio.Future[Any]], *outcome: Any) -> None:
    """Have who waits get the outcome of a blocking call, if anybody is left."""
    waiter = to()
    if waiter is not None:
        wake(waiter, outcome)


def _call_soon(of: ref[asyncio.AbstractEventLoop], *call: Any) -> None:
    """Have a loop call a function with arguments; from any thread.

    Raises:
        RuntimeError: it is closed, or gone.
    """
    loop = of()
    if loop is None:
        raise RuntimeError("the event loop is gone")
    loop.call_soon_threadsafe(*call)
