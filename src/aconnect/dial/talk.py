"""What is said on the one route by way of proxies, without a race.

Rules:

* Nobody is told of it but the race, if it comes to nothing: how far it has come, and why.
* The moment by which it must be over is the same for all layers.
* The socket is closed by who has it when it fails: by the caller's handshake, which is the last,
  or else here.
"""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Any

from ..handshakes.base import BoundedHandshake, OutOfTime
from ..sockets.syscalls import close
from .layers import Layers

if TYPE_CHECKING:
    import socket

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
        self._until: float = inf
        self._with_proxies = detour.layers(route, self._ready)
        after = () if last is None else last.layers
        self.progress: Layers = Layers((*self._with_proxies, *after))

    async def within(self, sock: socket.socket, until: float) -> Any:
        self._until = until
        try:
            for each in self._with_proxies:
                self._next()
                await each(sock)
        except BaseException:
            close(sock)
            raise
        if self.last is None:
            return sock
        self._next()
        return await self.last.within(sock, until)

    def _next(self) -> None:
        progress = self.progress
        progress.at = len(progress.began)
        progress.began.append(time.monotonic())

    async def _ready(self, sock: socket.socket, write: bool) -> None:
        """Wait until there is something to read, or room to write.

        Raises:
            OutOfTime: the moment has come before.
        """
        reading, writing = ((), (sock,)) if write else ((sock,), ())
        while not await self._driver.wait_readable(reading, self._until, writable=writing):
            if time.monotonic() >= self._until:
                raise OutOfTime
