"""Waiting with anyio's primitives; serves trio, and is correct on asyncio as well.

Rules:

* Trio's conventions hold: a call that did not have to wait has still been a checkpoint; but for
  `converse`, which is a part of what has been one.
* A deadline of ours is a cancel scope of ours around one wait.  What any other scope
  cancels goes through.
* A descriptor that was closed while somebody waited for it may come back as another socket.
  Who waited is woken then, as if it had been told of the closing.
* Moments are on `time.monotonic` and are turned into what is left of them: the clock of
  a trio run starts anywhere.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.lowlevel

from .anyio_watch import AnyioWatch, seconds_left, wait_writable
from .running import in_trio
from .threads import start_lookup

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Collection

    from ..addresses.values import SockAddr
    from .threads import Job

__all__ = ["AnyioDriver"]

T = TypeVar("T")

_NO_SCOPE: Final = nullcontext()


class AnyioDriver:
    """Whatever event loop is running, as anyio sees it.

    Args:
        checkpoint: of that loop, if it has one of its own, which takes less time.
    """

    completes = False

    def __init__(
        self, checkpoint: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    ) -> None:
        self.checkpoint: Callable[[], Awaitable[None]] = checkpoint

    async def wait_writable(self, sock: socket.socket, until: float) -> int | None:
        # A scope that has no limit is memory for nothing.
        with _NO_SCOPE if until == inf else anyio.move_on_after(seconds_left(until)):
            return await wait_writable(sock)
        return None

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
        ready: dict[socket.socket, None] = {}
        of = sys.modules["trio"].lowlevel if in_trio() else anyio
        if len(socks) + len(writable) == 1:  # there is no need of a task
            with _NO_SCOPE if until == inf else anyio.move_on_after(seconds_left(until)):
                for sock in socks:
                    await of.wait_readable(sock)
                for sock in writable:
                    await of.wait_writable(sock)
                return [*socks, *writable]
            return []

        async def wait(how: Callable[..., Awaitable[None]], sock: socket.socket) -> None:
            await how(sock)
            ready[sock] = None
            group.cancel_scope.cancel()

        with anyio.move_on_after(seconds_left(until)):
            async with anyio.create_task_group() as group:
                for sock in socks:
                    group.start_soon(wait, of.wait_readable, sock)
                for sock in writable:
                    group.start_soon(wait, of.wait_writable, sock)
        return [*ready]

    async def converse(
        self, sock: socket.socket, until: float, step: Callable[[], bool | None]
    ) -> bool:
        of = sys.modules["trio"].lowlevel if in_trio() else anyio
        with _NO_SCOPE if until == inf else anyio.move_on_after(seconds_left(until)):
            while (write := step()) is not None:
                await (of.wait_writable if write else of.wait_readable)(sock)
            return True
        return False

    def watch(self) -> AnyioWatch:
        return AnyioWatch()

    async def sleep_until(self, when: float) -> None:
        await anyio.sleep(seconds_left(when) if when != inf else inf)

    def start_blocking(
        self, call: Callable[[], T], deliver: Callable[[T | None, BaseException | None], None]
    ) -> Job:
        return start_lookup(call, deliver, _call_soon())

    async def run_blocking(self, call: Callable[[], T], until: float) -> T | None:
        outcome: list[tuple[T | None, BaseException | None]] = []
        done = anyio.Event()

        def deliver(result: T | None, error: BaseException | None) -> None:
            outcome.append((result, error))
            done.set()

        job = self.start_blocking(call, deliver)
        try:
            with anyio.move_on_after(seconds_left(until)):
                await done.wait()
        finally:
            job.abandon()
        if not outcome:
            return None
        result, error = outcome.pop()
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame
        return result


def _call_soon() -> Callable[..., object]:
    """What has the running loop call a function soon, from any thread and without waiting.

    Anyio's own, `anyio.from_thread.run_sync`, waits until it has been called.
    """
    call_soon: Callable[..., object]
    if in_trio():
        call_soon = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon
    else:
        import asyncio  # trio has no need of it

        call_soon = asyncio.get_running_loop().call_soon_threadsafe
    return call_soon
