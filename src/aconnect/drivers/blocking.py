"""Waiting in the calling thread, which has no event loop, with poll(2).

Rules:

* Nothing here suspends: a coroutine that waits with this driver alone runs from its beginning to
  its end in one step.
* Sockets are waited for with poll(2), and no event loop is made.  Only what needs a task (a
  lookup, a handshake in a race, a hook that is asynchronous) has one, the thread's private loop,
  and that runs only while the dial waits.
* A blocking call that may take for ever is made by the thread itself: nothing could end it early,
  and to hand it to another thread and back takes as long as many a lookup, twice.  With a deadline
  it is handed over, so that the deadline holds, and a signal is answered at once.
* Whatever a signal handler raises ends a wait at once, and leaves nothing registered.

Source: poll(2), signal(7); PEP 475 for a wait that a signal interrupts.
"""

from __future__ import annotations

import time
from _thread import TIMEOUT_MAX, allocate_lock
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from ..sockets.syscalls import so_error
from .asyncio_watch import AsyncioWatch
from .polling import ready_of, wait_for
from .private_loop import private_loop
from .threads import LOOKUPS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Coroutine
    from typing import Self

    from ..addresses.values import SockAddr
    from .private_loop import PrivateLoop

__all__ = ["BlockingDriver"]

T = TypeVar("T")


class BlockingDriver:
    """The thread that calls.  It has no state, and one serves all threads."""

    completes = False
    checkpoint = None

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        return so_error(sock) if ready_of((sock,), until) else None

    async def wait_readable(
        self,
        socks: Collection[socket.socket],
        until: float,
        *,
        writable: Collection[socket.socket] = (),
    ) -> list[socket.socket]:
        return ready_of(writable, until, socks)

    async def converse(
        self, sock: socket.socket, until: float, step: Callable[[], bool | None]
    ) -> bool:
        while (write := step()) is not None:
            if not wait_for(sock, not write, until):
                return False
        return True

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        raise NotImplementedError("this driver tells when a socket is writable")

    async def run_blocking(self, call: Callable[[], T], until: float) -> T | None:
        return call() if until == inf else _made_by(call, until)

    def watch(self) -> BlockingWatch:
        return BlockingWatch()


class BlockingWatch:
    """The sockets of one race, and its tasks, which run while `wait` does."""

    def __init__(self) -> None:
        self._watched: dict[socket.socket, None] = {}
        self._notified = False
        # From the first task on, the loop has the sockets as well.
        self._private: PrivateLoop | None = None
        self._on_loop: AsyncioWatch | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        self._watched.clear()
        if self._private is None or self._on_loop is None:
            return
        if error is not None and not isinstance(error, Exception):
            self._private.give_up()
        if self._private.usable:
            self._private.run(self._on_loop.__aexit__(kind, error, traceback))

    def add(self, sock: socket.socket) -> None:
        if self._on_loop is None:
            self._watched[sock] = None
        else:
            self._on_loop.add(sock)

    def discard(self, sock: socket.socket) -> None:
        self._watched.pop(sock, None)
        if self._on_loop is not None:
            self._on_loop.discard(sock)

    def notify(self) -> None:
        self._notified = True
        if self._on_loop is not None:
            self._on_loop.notify()

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> Callable[[], object]:
        if self._on_loop is None:
            self._private = private_loop()
            self._on_loop = AsyncioWatch(self._private.loop)
            for sock in self._watched:
                self._on_loop.add(sock)
            self._watched.clear()
        return self._on_loop.spawn(function, *args)

    async def ready(self, sock: socket.socket, write: bool) -> None:
        assert self._on_loop is not None  # it is one of its tasks that waits
        await self._on_loop.ready(sock, write)

    async def wait(self, until: float) -> list[tuple[socket.socket, int]]:
        if self._private is not None and self._on_loop is not None:
            return self._private.run(self._on_loop.wait(until))
        ready = [] if self._notified else ready_of(self._watched, until)
        self._notified = False
        for sock in ready:
            del self._watched[sock]
        return [(sock, so_error(sock)) for sock in ready]


def _made_by(call: Callable[[], T], until: float) -> T | None:
    """What a call returns that is made in a thread for lookups; None if it is too late."""
    outcomes: list[tuple[Any, BaseException | None]] = []
    there = allocate_lock()
    there.acquire()

    def deliver(result: Any, error: BaseException | None) -> None:
        outcomes.append((result, error))
        there.release()

    job = LOOKUPS.submit(call, deliver)
    try:
        if not there.acquire(timeout=min(max(until - time.monotonic(), 0), TIMEOUT_MAX)):
            # The wait for a lock may end a little early; the moment is to have come.
            time.sleep(max(until - time.monotonic(), 0))
            return None
        [(answer, error)] = outcomes
        if error is not None:
            raise error
        found: T = answer
        return found
    finally:
        job.abandon()
        outcomes.clear()
        error = None  # its traceback leads to this frame
