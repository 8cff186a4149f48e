"""Having the event loop that runs call something when a socket can be read, or sent to.

Rules:

* Only where transports and streams read and send past the methods of their sockets: on uvloop, and
  on trio.  Elsewhere those methods tell of it.
* Nothing is called any more once that has been taken back, and then the socket may be closed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..drivers.running import in_trio
from .pairs import in_uvloop

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["watch_of"]


def watch_of(sock: socket.socket) -> Watch:
    """For a socket that nobody else waits for."""
    if in_trio():
        return _OnTrio(sock)
    return _OnUvloop(sock) if in_uvloop() else Watch()


class Watch:
    """Where there is no need of one."""

    def set(
        self, to_read: Callable[[], object] | None, to_send: Callable[[], object] | None
    ) -> None:
        """Have these be called, each time, and nothing else; they raise nothing."""


class _OnUvloop(Watch):
    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock

    def set(
        self, to_read: Callable[[], object] | None, to_send: Callable[[], object] | None
    ) -> None:
        loop, sock = self._loop, self._sock
        if loop.is_closed():
            return
        if to_read is None:
            loop.remove_reader(sock)
        else:
            loop.add_reader(sock, to_read)
        if to_send is None:
            loop.remove_writer(sock)
        else:
            loop.add_writer(sock, to_send)


class _OnTrio(Watch):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._calls: dict[bool, Callable[[], object]] = {}
        self._waits: dict[bool, Any] = {}

    def set(
        self, to_read: Callable[[], object] | None, to_send: Callable[[], object] | None
    ) -> None:
        import trio

        for sends, call in ((False, to_read), (True, to_send)):
            if call is not None:
                self._calls[sends] = call
                if sends not in self._waits:
                    self._waits[sends] = scope = trio.CancelScope()
                    name = "a watch of the fake network"
                    trio.lowlevel.spawn_system_task(self._wait, sends, scope, name=name)
            elif sends in self._waits:
                self._waits.pop(sends).cancel()

    async def _wait(self, sends: bool, scope: Any) -> None:
        import trio

        wait = trio.lowlevel.wait_writable if sends else trio.lowlevel.wait_readable
        with scope:
            while not scope.cancel_called:
                await wait(self._sock)
                if not scope.cancel_called:
                    self._calls[sends]()
