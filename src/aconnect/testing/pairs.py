"""Pairs of connected sockets, and how one end is kept from being writable.

Rules:

* A pair is a unix one: what one end does, the other sees at once, on which exact times depend.
* uvloop has transports of TCP for TCP sockets alone.  Under uvloop the pair of a TCP socket is a
  connection over 127.0.0.1, with smaller buffers.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..addresses.values import Endpoint

__all__ = ["connected_pair", "empty", "fill", "in_uvloop", "reset", "unconnected"]

_AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", -1)
_PIECE: Final = bytes(65536)
_TCP_BUFFER: Final = 65536  # bytes: enough for tests, and soon full
_PATIENCE: Final = 5000  # milliseconds for a connection within the kernel, which takes none


def unconnected(type: int) -> socket.socket:
    """A descriptor for a socket of this type that is not connected yet."""
    if sys.platform == "win32":
        raise NotImplementedError("the fake network needs unix sockets")
    return socket.socket(_AF_UNIX, type)


def connected_pair(endpoint: Endpoint) -> tuple[socket.socket, socket.socket]:
    """Two ends, both non-blocking, for a connection to ``endpoint``.

    Raises:
        OSError: there are none to be had; nothing stays open.
    """
    if in_uvloop() and endpoint.type == socket.SOCK_STREAM and endpoint.family != _AF_UNIX:
        return _tcp_pair()
    near, far = socket.socketpair(_AF_UNIX, endpoint.type)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def in_uvloop() -> bool:
    """Whether uvloop is running."""
    return type(asyncio._get_running_loop()).__module__.partition(".")[0] == "uvloop"


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    if sys.platform == "win32":
        raise NotImplementedError("uvloop is not for Windows")
    with ExitStack() as stack, socket.socket() as listener:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TCP_BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = stack.enter_context(socket.socket())
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _TCP_BUFFER)
        near.connect_ex(listener.getsockname())
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.poll(_PATIENCE)
        far, peer = listener.accept()
        stack.enter_context(far)
        far.setblocking(False)
        if peer != near.getsockname():
            raise ConnectionAbortedError(
                "another process connected to the fake network's socket first"
            )
        stack.pop_all()
    return near, far


def fill(near: socket.socket) -> None:
    """See that it is not writable."""
    try:
        while True:
            near.send(_PIECE)
    except BlockingIOError:
        pass


def empty(far: socket.socket) -> None:
    """See that the other end is writable, if it was filled."""
    try:
        while socket.socket.recv(far, len(_PIECE)):
            pass
    except OSError:
        pass  # all is read; or it was closed without a word


def reset(far: socket.socket) -> None:
    """Close it, with nothing left of it in the kernel."""
    socket.socket.setsockopt(  # and not the fake socket's
        far, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    far.close()
