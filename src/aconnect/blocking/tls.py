"""TLS on sockets that end up blocking: a handshake that one thread can do in a race, or alone.

Rules:

* The standard library's `ssl.SSLSocket` does it, on a socket that does not block.  It takes the
  descriptor over, and is closed if the handshake fails or is cancelled.
* An SSLSocket is over a socket.  Where there is TLS to a proxy, a `TunnelTLSSocket` is in its
  place, which is made when the handshake is done; before that, nothing is taken over.
* Of one address, the calling thread waits for the peer.  In a race, a task does.

Source: "Notes on non-blocking sockets" in the documentation of `ssl`.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Protocol

from ..drivers.polling import wait_for, wait_in_task
from ..handshakes.base import OutOfTime
from ..handshakes.tls import TLSHandshake, failure
from ..sockets.syscalls import close
from .tunnels import TunnelTLSSocket

if TYPE_CHECKING:
    from ..handshakes.proxies.tunnel import Tunnel
    from ..handshakes.tls import TLS

__all__ = ["BlockingTLS"]


class BlockingTLS(TLSHandshake["ssl.SSLSocket"]):
    """The handshake, on whatever waits."""

    async def shake(self, sock: socket.socket) -> Any:
        if isinstance(sock, socket.socket):
            return await _shake(self.tls, sock, wait_in_task)
        tunnel: Tunnel = sock
        await tunnel.shake(self.tls, through=False)
        return TunnelTLSSocket(tunnel.sock, *tunnel.layers())

    async def within(self, sock: socket.socket, until: float) -> ssl.SSLSocket:
        async def in_this_thread(wrapped: ssl.SSLSocket, reading: bool) -> None:
            if not wait_for(wrapped, reading, until) and time.monotonic() >= until:
                raise OutOfTime

        try:
            return await _shake(self.tls, sock, in_this_thread)
        except OutOfTime:
            raise
        except Exception as error:
            found = failure(error)
        try:
            raise found.with_traceback(None)
        finally:
            del found  # its traceback leads to this frame

    def ssl_object(self, result: ssl.SSLSocket) -> Any:
        return result


class _Wait(Protocol):
    async def __call__(self, wrapped: ssl.SSLSocket, reading: bool, /) -> None:
        """Wait until it can be read, or written."""


async def _shake(tls: TLS, sock: socket.socket, wait: _Wait) -> ssl.SSLSocket:
    wrapped: Any = sock
    try:
        wrapped = tls.context.wrap_socket(
            sock,
            server_hostname=tls.server_hostname,
            session=tls.session,
            do_handshake_on_connect=False,
        )
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                await wait(wrapped, True)
            except ssl.SSLWantWriteError:
                await wait(wrapped, False)
            else:
                return wrapped  # type: ignore[no-any-return]
    except BaseException:
        close(wrapped)
        raise
