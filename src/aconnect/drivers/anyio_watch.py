"""Waiting for many things at once with anyio's primitives; serves trio.

Rules:

* Each wait has a task group of its own, with a task for each socket.  When it is over so are
  they: nothing is registered between two waits, and a socket can be closed at any time then.
* The tasks of the race live in one group, which ends with the watch.
* What stops the program comes out as it is, such as the KeyboardInterrupt that trio raises in any
  task: nobody else knows of the groups.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio
import anyio.lowlevel

from ..sockets.syscalls import so_error
from .running import in_trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Self

__all__ = ["AnyioWatch", "seconds_left", "wait_writable"]


class AnyioWatch:
    """The sockets and tasks of one race, on whatever loop anyio runs on."""

    def __init__(self) -> None:
        self._something = anyio.Event()
        self._watched: dict[socket.socket, None] = {}
        self._ready: dict[socket.socket, int] = {}
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._watched.clear()
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            _raise_first(group)

    def add(self, sock: socket.socket) -> None:
        self._watched[sock] = None

    def discard(self, sock: socket.socket) -> None:
        self._watched.pop(sock, None)

    async def ready(self, sock: socket.socket, write: bool) -> None:
        if sock.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        of: Any = sys.modules["trio"].lowlevel if in_trio() else anyio
        await (of.wait_writable if write else of.wait_readable)(sock)

    def notify(self) -> None:
        self._something.set()

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> Callable[[], object]:
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await function(*args)

        self._group.start_soon(run)
        return scope.cancel

    async def wait(self, until: float) -> list[tuple[socket.socket, int]]:
        if not self._something.is_set():
            try:
                with anyio.move_on_after(seconds_left(until)):
                    async with anyio.create_task_group() as group:
                        for sock in self._watched:
                            group.start_soon(self._wait_for, sock)
                        await self._something.wait()
                        group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                _raise_first(errors)
        self._something = anyio.Event()
        ready = [(sock, error) for sock, error in self._ready.items() if sock in self._watched]
        self._ready.clear()
        for sock, _ in ready:
            self.discard(sock)
        return ready

    async def _wait_for(self, sock: socket.socket) -> None:
        try:
            self._ready[sock] = await wait_writable(sock)
        except OSError as error:
            self._ready[sock] = error.errno or errno.EIO
        self._something.set()


def _raise_first(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the first of a group, or the first that is no cancellation, as if it were alone."""
    cancelled = anyio.get_cancelled_exc_class()
    error = min(group.exceptions, key=lambda each: isinstance(each, cancelled))
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context  # it would be the group, which has the error
        del error, group  # its traceback leads to this frame


_WAITED_FOR: Final[anyio.lowlevel.RunVar[dict[int, socket.socket]]] = anyio.lowlevel.RunVar(
    "aconnect"
)
"""Which descriptors are waited for in this run of the event loop, as which sockets."""


async def wait_writable(sock: socket.socket) -> int:
    """Wait until ``sock`` is writable or hung up.

    Returns:
        Its SO_ERROR; EBADF if it is closed, or being closed.

    Raises:
        BlockingIOError: EALREADY, another task waits for it.
    """
    fd = sock.fileno()
    if fd < 0:
        return errno.EBADF
    trio: Any = sys.modules["trio"] if in_trio() else None
    # Trio's own takes half the time that anyio's takes to come to it.
    wait = anyio.wait_writable if trio is None else trio.lowlevel.wait_writable
    errors = anyio if trio is None else trio
    try:
        waited_for = _WAITED_FOR.get()
    except LookupError:
        waited_for = {}
        _WAITED_FOR.set(waited_for)
    other = waited_for.get(fd)
    if other is not None and other.fileno() != fd:
        anyio.notify_closing(fd)  # it was closed while it was waited for, and this is another
        other = None
    if other is None:
        waited_for[fd] = sock
    try:
        try:
            await wait(sock)
        except errors.BusyResourceError:
            # Perhaps by a task that was cancelled and has not run since.
            await anyio.lowlevel.checkpoint()
            await wait(sock)
    except errors.BusyResourceError:
        raise OSError(errno.EALREADY, os.strerror(errno.EALREADY)) from None
    except errors.ClosedResourceError:
        return errno.EBADF
    finally:
        if other is None and waited_for.get(fd) is sock:
            del waited_for[fd]
    return so_error(sock)


def seconds_left(until: float) -> float:
    """Seconds until a moment; 0 if it has passed."""
    return max(0.0, until - time.monotonic())
