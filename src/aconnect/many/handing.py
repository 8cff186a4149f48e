"""What a dial has made, until it is somebody's: a socket, or what a handshake gave.

Rule: a handshake may give anything, and what it gave is closed by its ``close`` or ``aclose``; if
it has neither, the socket is.
"""

from __future__ import annotations

import socket
import struct
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from ..handshakes.base import Handshake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Remembering", "close_made", "remembering"]

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER, for no seconds: what is closed then sends a RST, and leaves no TIME_WAIT."""


class Remembering(Handshake[Any]):
    """A handshake, or the first of a `Sequence`, of which it is known what sockets it had.

    Args:
        handshake: says everything of itself.
        socks: where they are noted.
    """

    def __init__(self, handshake: Handshake[Any], socks: list[socket.socket]) -> None:
        self._handshake = handshake
        self._socks = socks
        self.name: str = handshake.name
        self.tunnels: bool = handshake.tunnels

    @property
    def kind(self) -> str:
        return self._handshake.kind

    @property
    def layers(self) -> tuple[Handshake[Any], ...]:
        first, *others = self._handshake.layers
        if not others:
            return (self,)
        return (Remembering(first, self._socks), *others)

    async def __call__(self, sock: socket.socket) -> Any:
        self._socks.append(getattr(sock, "sock", sock))  # of a tunnel
        return await self._handshake(sock)

    def towards(self, host: str | None) -> Handshake[Any]:
        return Remembering(self._handshake.towards(host), self._socks)

    def details(self, result: Any) -> Mapping[str, Any]:
        return self._handshake.details(result)

    def reason(self, error: Exception) -> str:
        return self._handshake.reason(error)

    def is_final(self, error: Exception) -> bool:
        return self._handshake.is_final(error)


def remembering(
    handshake: Callable[[socket.socket], Awaitable[Any]], socks: list[socket.socket]
) -> Handshake[Any]:
    """The same handshake, for one dial."""
    if not isinstance(handshake, Handshake):
        handshake = Handshake(handshake)
    return Remembering(handshake, socks)


async def close_made(made: Any, socks: list[socket.socket], reset: bool) -> None:
    """Close a connection.

    Args:
        made: the socket, or what the handshake gave.
        socks: what the handshake had; all but the one of ``made`` are closed.
        reset: with a RST.
    """
    if isinstance(made, socket.socket):
        socks = [made]
    if reset:
        for sock in socks:
            if sock.fileno() >= 0 and sock.type == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    closed = False
    if not isinstance(made, socket.socket):
        for each in made if isinstance(made, tuple) else (made,):
            close = getattr(each, "close", None) or getattr(each, "aclose", None)
            if callable(close):
                closed = True
                closing = close()
                if isawaitable(closing):
                    await closing
    if not closed:
        for sock in socks:
            sock.close()
