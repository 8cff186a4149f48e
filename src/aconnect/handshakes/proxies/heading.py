"""The header of the PROXY protocol, as a handshake: it is sent, and nothing is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..base import Handshake
from .wire import wire_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .wire import Ready

__all__ = ["Heading"]


class Heading(Handshake[None]):
    """Sends a header.

    Args:
        name: what it is called.
        encode: makes its bytes of the ends of a connection.
        ready: waits for a socket.
    """

    phase: Literal["proxy", "handshake"] = "proxy"

    def __init__(self, name: str, encode: Callable[[object, object], bytes], ready: Ready) -> None:
        self.name: str = name
        self._encode = encode
        self._ready = ready

    async def __call__(self, sock: socket.socket) -> None:
        """Send it on a connected socket.

        Raises:
            OSError: the connection has failed.
            ValueError: it cannot be written of the ends of the connection.
        """
        wire = wire_of(sock, self._ready)
        await wire.send(self._encode(wire.sock.getsockname(), wire.sock.getpeername()))
