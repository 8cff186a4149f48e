"""What a talk with a proxy is carried out on: bytes, there and back.

Rules:

* Nothing is taken that is not asked for: what a target sends behind its proxy's answer stays where
  it is.
* What fits is written at once, and what is there is read at once; only then is there a wait.
* What has come from a proxy, Linux acknowledges at once (TCP_QUICKACK): with what is sent next or,
  if that is nothing, before more is waited for, and at the end.  A proxy with Nagle's algorithm
  holds back what the target says until its own answer is acknowledged, otherwise for 40 ms.
* A connection that is reset is one that has ended, if nothing was left to read.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Ready", "SocketWire", "Wire", "wire_of"]

Ready: TypeAlias = "Callable[[socket.socket, bool], Awaitable[None]]"
"""Waits until a socket has something to read or, if the second argument is True, takes more."""

_QUICKACK: Final[int | None] = (
    getattr(socket, "TCP_QUICKACK", None) if sys.platform == "linux" else None
)
_GONE: Final = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


class Wire(Protocol):
    """A connection, on which a proxy is talked to.

    Attributes:
        sock: its socket.
    """

    @property
    def sock(self) -> socket.socket: ...

    async def send(self, data: bytes) -> None:
        """Send all of it; to a peer that is gone, as much as it took."""

    async def look(self, most: int) -> bytes:
        """Wait for something, and leave it there; empty at the end."""

    async def take(self, count: int) -> bytes:
        """Wait for something, and take at most so much of it; empty at the end."""

    def acknowledge(self) -> None:
        """Have the peer know now that all has come."""


class SocketWire:
    """A socket.

    Args:
        sock: is connected, and does not block.
        ready: waits for it.
    """

    def __init__(self, sock: socket.socket, ready: Ready) -> None:
        self.sock: socket.socket = sock
        self._ready = ready
        self._owes = False  # an acknowledgement

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        self._owes = False  # what is sent has the acknowledgement with it
        while rest:
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:
                await self._ready(self.sock, True)
                continue
            except _GONE:
                return  # what it has said before that is still to be read
            rest = rest[sent:]

    async def look(self, most: int) -> bytes:
        return await self._receive(most, socket.MSG_PEEK)

    async def take(self, count: int) -> bytes:
        data = await self._receive(count, 0)
        self._owes = True
        return data

    async def _receive(self, most: int, flags: int) -> bytes:
        while True:
            try:
                return self.sock.recv(most, flags)
            except BlockingIOError:
                self.acknowledge()
                await self._ready(self.sock, False)
            except _GONE:
                return b""

    def acknowledge(self) -> None:
        if self._owes and _QUICKACK is not None:
            try:
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            except OSError:
                pass  # it is not TCP's, or takes its time
        self._owes = False


def wire_of(given: Any, ready: Ready) -> Wire:
    """What a handshake is given, as a wire: a socket, or one already."""
    if isinstance(given, socket.socket):
        return SocketWire(given, ready)
    wire: Wire = given
    return wire
