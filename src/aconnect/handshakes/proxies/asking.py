"""The handshake with a proxy: one target is asked for, and connected.

Rules:

* What is said is decided in `sansio`; here it is carried out.
* It gives nothing, so that what comes next has the same connection.
* Only a refusal that is about the proxy as such is final: another address of the proxy, or of the
  target, would do no better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...sansio.negotiation import Refusal
from ..base import Handshake
from .wire import wire_of

if TYPE_CHECKING:
    import socket

    from ...sansio.negotiation import Negotiation
    from .wire import Ready, Wire

__all__ = ["Asking"]


class Asking(Handshake[None]):
    """Asks a proxy for a target.

    Args:
        negotiation: the talk with it, which has not begun.
        proxy: which one it is, as text without user and password.
        ready: waits for a socket.
        hop: which of several proxies it is, from 0.
    """

    phase: Literal["proxy", "handshake"] = "proxy"

    def __init__(self, negotiation: Negotiation, proxy: str, ready: Ready, hop: int = 0) -> None:
        self.name: str = negotiation.name
        self.proxy: str = proxy
        self._negotiation = negotiation
        self.hop: int = hop
        self._ready = ready

    @property
    def unfinished(self) -> str:
        """Which answer is awaited."""
        kind = f"{'an' if self.name.startswith('H') else 'a'} {self.name} proxy"
        return f"there was no answer to {self._negotiation.awaited}: is {self.proxy} {kind}?"

    async def __call__(self, sock: socket.socket) -> None:
        """Carry it out on a connected socket, or on another wire.

        Raises:
            Refusal: the proxy does not do it.
            OSError: the connection has failed.
        """
        wire = wire_of(sock, self._ready)
        negotiation = self._negotiation
        while negotiation.wanted:
            data = negotiation.to_send()
            if data:
                await wire.send(data)
            if negotiation.looks_ahead:
                data = await wire.look(negotiation.wanted)
            else:
                data = await wire.take(negotiation.wanted)
            if not data:
                raise negotiation.hung_up()
            taken = negotiation.receive(data)
            if negotiation.looks_ahead:
                await self._take(wire, taken)
        wire.acknowledge()

    async def _take(self, wire: Wire, count: int) -> None:
        """Take away what has been looked at."""
        while count:
            taken = len(await wire.take(count))
            if not taken:  # the connection has failed since
                raise self._negotiation.hung_up()
            count -= taken

    def is_final(self, error: Exception) -> bool:
        return isinstance(error, Refusal) and error.about == "proxy"
