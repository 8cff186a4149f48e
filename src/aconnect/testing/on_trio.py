"""Fake sockets under trio, which makes its sockets from a `socket.socket` and from no subclass.

Rules:

* `trio.socket.from_stdlib_socket` is replaced when a fake socket is first opened under trio.  It
  gives all but fake sockets to trio's own.
* Only streams.  What trio does with datagrams passes a subclass's methods by, so it takes none.
"""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trio

__all__ = ["have_trio_take"]


@functools.cache
def have_trio_take(kind: type[socket.socket]) -> None:
    """See that streams of this class can be made sockets of trio's.

    So a program's ``trio.SocketStream(trio.socket.from_stdlib_socket(sock))``, what
    `open_trio_stream` does, and what anyio does, work with them and know their names.
    """
    import trio

    trios = trio.socket.from_stdlib_socket

    def from_stdlib_socket(sock: socket.socket) -> trio.socket.SocketType:
        if not isinstance(sock, kind) or sock.type != socket.SOCK_STREAM:
            return trios(sock)
        with socket.socket(sock.family, sock.type) as stand_in:
            made: Any = trios(stand_in)
        made._sock = sock  # all that trio's socket does, it does with this one
        sock.setblocking(False)
        return made  # type: ignore[no-any-return]

    trio.socket.from_stdlib_socket = from_stdlib_socket
