"""TLS for the command: a handshake that any of the loops can wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..handshakes.contexts import default_context
from ..handshakes.proxies.tunnel import Tunnel, tunnel_over
from ..handshakes.tls import TLS, TLSHandshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .loops import EventLoop

__all__ = ["CheckTLS"]


class CheckTLS(TLSHandshake[Tunnel]):
    """A handshake in which each host has to prove its name.

    Args:
        loop: waits for the socket.
    """

    def __init__(self, loop: EventLoop) -> None:
        super().__init__(TLS(default_context(), None, each_host=True))
        self._loop = loop

    async def shake(self, sock: socket.socket) -> Tunnel:
        """Do the handshake."""
        if self.tls.server_hostname is None:
            raise ValueError("there is no host name to check the certificate against")
        tunnel = tunnel_over(sock, self._ready)
        await tunnel.shake(self.tls)
        return tunnel

    async def _ready(self, sock: socket.socket, write: bool) -> None:
        await (self._loop.writable if write else self._loop.readable)(sock)

    def ssl_object(self, result: Tunnel) -> Any:
        return result.ssl_object

    def details(self, result: Tunnel) -> Mapping[str, Any]:
        """What was agreed upon, and until when the certificate is good."""
        certificate: Any = result.ssl_object.getpeercert() or {}
        return {**super().details(result), "expires": certificate.get("notAfter")}
