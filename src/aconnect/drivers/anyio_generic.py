"""Waiting with anyio's primitives; serves trio, and is correct on asyncio as well.

Rules:

* Trio's conventions hold: a call that did not have to wait has still been a checkpoint.
* A deadline of ours is a cancel scope of ours around one wait.  What any other scope
  cancels goes through.
* A descriptor that was closed while somebody waited for it may come back as another socket.
  Who waited is woken then, as if it had been told of the closing.
* Moments are on `time.monotonic` and are turned into what is left of them: the clock of
  a trio run starts anywhere.
"""

from __future__ import annotations

import errno
import os
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from ..syscalls import so_error
from .threads import LOOKUP_LIMIT

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..addresses import SockAddr

__all__ = ["AnyioDriver"]

T = TypeVar("T")


class _Run:
    """What is known of one run of an event loop."""

    def __init__(self) -> None:
        self.lookups = anyio.CapacityLimiter(LOOKUP_LIMIT)
        self.waited_for: dict[int, socket.socket] = {}


_RUN: Final[anyio.lowlevel.RunVar[_Run]] = anyio.lowlevel.RunVar("aconnect")


def _run() -> _Run:
    run = _RUN.get(None)
    if run is None:
        run = _Run()
        _RUN.set(run)
    return run


class AnyioDriver:
    """Whatever event loop is running, as anyio sees it."""

    completes = False

    async def checkpoint(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        if sock.fileno() < 0:
            return errno.EBADF
        with anyio.move_on_after(_left(until)):
            try:
                await _wait_writable(sock)
            except anyio.ClosedResourceError:
                return errno.EBADF
            return so_error(sock)
        return None

    async def sock_connect(
        self, sock: socket.socket, sockaddr: SockAddr, until: float
    ) -> int | None:
        raise NotImplementedError("this loop tells when a socket is writable")

    async def sleep_until(self, when: float) -> None:
        await anyio.sleep(_left(when) if when != inf else inf)

    async def run_blocking(self, call: Callable[[], T], until: float) -> T | None:
        limiter = _run().lookups
        with anyio.move_on_after(_left(until)):
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        return None


async def _wait_writable(sock: socket.socket) -> None:
    fd = sock.fileno()
    waited_for = _run().waited_for
    other = waited_for.get(fd)
    if other is not None and other.fileno() != fd:
        anyio.notify_closing(fd)  # it was closed while it was waited for, and this is another
        other = None
    if other is None:
        waited_for[fd] = sock
    try:
        await anyio.wait_writable(sock)
    except anyio.BusyResourceError:
        # Perhaps by a task that was cancelled and has not run since.
        await anyio.lowlevel.checkpoint()
        try:
            await anyio.wait_writable(sock)
        except anyio.BusyResourceError:
            raise OSError(errno.EALREADY, os.strerror(errno.EALREADY)) from None
    finally:
        if other is None and waited_for.get(fd) is sock:
            del waited_for[fd]


def _left(until: float) -> float:
    return max(0.0, until - monotonic())
