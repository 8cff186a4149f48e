"""Waiting for sockets in the calling thread, with poll(2); and in a task, whatever else it does.

Source: poll(2); PEP 475 for a wait that a signal interrupts.
"""

from __future__ import annotations

import asyncio
import select
import sys
import time
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from .asyncio_watch import wake

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection

__all__ = ["ready_of", "wait_for", "wait_in_task"]

_LONGEST: Final = 86400.0
"""Seconds for which one call waits; who waits looks again then.  poll(2) has milliseconds in an
int, which are 24 days."""


def wait_for(sock: socket.socket, reading: bool, until: float) -> bool:
    """Wait until a socket can be read, or written, or is hung up.

    Returns:
        Whether it is; not if the moment came first, or after a day.
    """
    return bool(ready_of((), until, (sock,)) if reading else ready_of((sock,), until))


async def wait_in_task(sock: socket.socket, reading: bool) -> None:
    """The same in a task, on the loop that runs it."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    number = sock.fileno()
    (loop.add_reader if reading else loop.add_writer)(number, wake, waiter, None)
    try:
        await waiter
    finally:
        (loop.remove_reader if reading else loop.remove_writer)(number)


def ready_of(
    writable: Collection[socket.socket], until: float, readable: Collection[socket.socket] = ()
) -> list[socket.socket]:
    """Wait until one of the sockets takes something, or one of ``readable`` has something to read,
    or any is hung up; or the moment has come.

    Returns:
        Those that are, and those that somebody has closed; none after a day.
    """
    socks = {**dict.fromkeys(readable), **dict.fromkeys(writable)}
    closed = [sock for sock in socks if sock.fileno() < 0]
    if closed:
        return closed
    left = None if until == inf else min(max(until - time.monotonic(), 0.0), _LONGEST)
    if sys.platform == "win32":
        kinds = select.select(readable, writable, socks, left)
        found = {sock for kind in kinds for sock in kind}
        return [sock for sock in socks if sock in found]
    poller = select.poll()
    for sock in socks:
        events = select.POLLIN * (sock in readable) | select.POLLOUT * (sock in writable)
        poller.register(sock, events)
    numbers = {number for number, _ in poller.poll(None if left is None else ceil(left * 1000))}
    return [sock for sock in socks if sock.fileno() in numbers]
