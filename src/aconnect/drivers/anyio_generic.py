"""Waiting with anyio's primitives; serves trio, and is correct on asyncio as well.

Rules:

* Trio's conventions hold: a call that did not have to wait has still been a checkpoint.
* A deadline of ours is a cancel scope of ours around one wait.  What any other scope
  cancels goes through.
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

_LIMITER: Final[anyio.lowlevel.RunVar[anyio.CapacityLimiter]] = anyio.lowlevel.RunVar(
    "aconnect_lookups"
)


class AnyioDriver:
    """Whatever event loop is running, as anyio sees it."""

    completes = False
    checkpoint = staticmethod(anyio.lowlevel.checkpoint)

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
        limiter = _LIMITER.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(LOOKUP_LIMIT)
            _LIMITER.set(limiter)
        with anyio.move_on_after(_left(until)):
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)
        return None


async def _wait_writable(sock: socket.socket) -> None:
    try:
        await anyio.wait_writable(sock)
    except anyio.BusyResourceError:
        # Perhaps by a task that was cancelled and has not run since.
        await anyio.lowlevel.checkpoint()
        try:
            await anyio.wait_writable(sock)
        except anyio.BusyResourceError:
            raise OSError(errno.EALREADY, os.strerror(errno.EALREADY)) from None


def _left(until: float) -> float:
    return max(0.0, until - monotonic())
