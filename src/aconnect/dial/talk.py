"""What is said on the one route by way of proxies, without a race.

Rules:

* Nobody is told of it but the race, if it comes to nothing: how far it has come, and why.
* The moment by which it must be over is the same for all layers.
* What is said to proxies waits for nothing but the socket: the driver goes on with it whenever
  that is ready.
* The socket is closed by who has it when it fails: by the caller's handshake, which is the last,
  or else here.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ..handshakes.base import BoundedHandshake, OutOfTime
from ..sockets.syscalls import close
from .layers import Layers

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Generator

    from ..drivers.base import DialDriver
    from .ways import Detour, Route

__all__ = ["Talk"]


class Talk(BoundedHandshake[Any]):
    """All handshakes of a route.

    Args:
        detour: has those with the proxies.
        route: the way that is connected.
        driver: waits.
        last: what the caller wants done behind them; None for nothing.

    Attributes:
        detour, last: as given.
        progress: which one has begun last.
    """

    def __init__(
        self,
        detour: Detour,
        route: Route,
        driver: DialDriver,
        last: BoundedHandshake[Any] | None,
    ) -> None:
        self.detour: Detour = detour
        self.last: BoundedHandshake[Any] | None = last
        self._driver = driver
        self._with_proxies = detour.layers(route, _Ready)
        after = () if last is None else last.layers
        self.progress: Layers = Layers((*self._with_proxies, *after))

    async def within(self, sock: socket.socket, until: float) -> Any:
        said = self._say(sock)
        try:
            while not await self._driver.converse(sock, until, partial(_go_on, said)):
                if time.monotonic() >= until:
                    raise OutOfTime
        except BaseException:
            said.close()
            close(sock)
            raise
        if self.last is None:
            return sock
        self._next()
        return await self.last.within(sock, until)

    async def _say(self, sock: socket.socket) -> None:
        for each in self._with_proxies:
            self._next()
            await each(sock)

    def _next(self) -> None:
        progress = self.progress
        progress.at = len(progress.began)
        progress.began.append(time.monotonic())


class _Ready:
    """Has who goes on with a coroutine wait for something to read, or for room to write."""

    def __init__(self, _: socket.socket, write: bool) -> None:
        self._write = write

    def __await__(self) -> Generator[bool, None, None]:
        yield self._write


def _go_on(said: Coroutine[bool, None, None]) -> bool | None:
    """Go on until there is something to wait for; None if it has ended."""
    try:
        return said.send(None)
    except StopIteration:
        return None
