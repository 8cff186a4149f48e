"""TLS for the command: a handshake that any of the loops can wait for.

Source: "Notes on non-blocking sockets" in the documentation of `ssl`.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from ..handshakes.contexts import default_context
from ..handshakes.tls import TLS, TLSHandshake

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .loops import EventLoop

__all__ = ["CheckTLS"]


class CheckTLS(TLSHandshake["ssl.SSLSocket"]):
    """A handshake in which each host has to prove its name.

    Args:
        loop: waits for the socket.
    """

    def __init__(self, loop: EventLoop) -> None:
        super().__init__(TLS(default_context(), None, each_host=True))
        self._loop = loop

    async def shake(self, sock: socket.socket) -> ssl.SSLSocket:
        """Do the handshake; the socket's descriptor is taken over."""
        name = self.tls.server_hostname
        if name is None:
            raise ValueError("there is no host name to check the certificate against")
        wrapped = self.tls.context.wrap_socket(
            sock, server_hostname=name, do_handshake_on_connect=False
        )
        try:
            while True:
                try:
                    wrapped.do_handshake()
                except ssl.SSLWantReadError:
                    await self._loop.readable(wrapped)
                except ssl.SSLWantWriteError:
                    await self._loop.writable(wrapped)
                else:
                    return wrapped
        except BaseException:
            wrapped.close()
            raise

    def ssl_object(self, result: ssl.SSLSocket) -> Any:
        return result

    def details(self, result: ssl.SSLSocket) -> Mapping[str, Any]:
        """What was agreed upon, and until when the certificate is good."""
        certificate: Any = result.getpeercert() or {}
        return {**super().details(result), "expires": certificate.get("notAfter")}
