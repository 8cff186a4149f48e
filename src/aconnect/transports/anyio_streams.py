"""Streams of anyio's around connected sockets, and how to be rid of them.

Rules:

* A stream has a socket, and closes it.  Where there is no stream, the socket is closed here.
* anyio is needed when something is called, not before.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

from ..drivers.running import in_trio
from ..sockets.connection import family_of
from ..sockets.syscalls import close
from .calls import keep_nagle
from .hand_over import closed, lent, plain

if TYPE_CHECKING:
    from anyio import BrokenResourceError, EndOfStream
    from anyio.abc import SocketAttribute, SocketStream, UNIXSocketStream
    from anyio.abc import SocketStream as OverSocket
    from anyio.streams.tls import TLSStream

    from ..dial.dialer import Dialer
    from ..handshakes.proxies.tunnel import Tunnel
else:
    try:
        from anyio import BrokenResourceError, EndOfStream
        from anyio.abc import SocketAttribute, UNIXSocketStream
        from anyio.abc import SocketStream as OverSocket
    except ImportError:
        OverSocket = object

__all__ = ["abandoned", "close_now", "gone", "stream_of", "stream_over"]

_AF_UNIX: Final = getattr(socket, "AF_UNIX", -1)


async def stream_of(sock: socket.socket, dialer: Dialer) -> SocketStream:
    """A stream of anyio's that owns the socket, which is closed if there is none."""
    kind = UNIXSocketStream if family_of(sock) == _AF_UNIX else OverSocket
    if in_trio():
        sock = plain(sock)
    try:
        with lent(sock):
            stream = await kind.from_socket(sock)
    except GeneratorExit:  # nothing can be waited for
        close(sock)
        raise
    except BaseException:
        await gone(sock)
        raise
    try:
        if not dialer.nodelay:
            keep_nagle(sock)
    except BaseException as error:
        await abandoned(stream, sock, error)
        raise
    return stream


class _StreamWire:
    """A stream, for a tunnel to go on with.

    Args:
        stream: has a socket.
    """

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    @property
    def sock(self) -> socket.socket:
        sock: socket.socket = self._stream.extra(SocketAttribute.raw_socket)
        return sock

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def take(self, count: int) -> bytes:
        try:
            return await self._stream.receive(count)
        except EndOfStream:
            return b""

    look = take  # a tunnel takes all that comes

    def acknowledge(self) -> None:
        """That is the stream's own business."""


class _Through(OverSocket):
    """A stream by way of TLS to a proxy, which tells nothing of that TLS: it is not the target's.

    Args:
        tunnel: does it.
        stream: what it goes on with.
    """

    def __init__(self, tunnel: Tunnel, stream: SocketStream) -> None:
        tunnel.go_on(_StreamWire(stream))
        self._tunnel = tunnel
        self._stream = stream
        self._broken = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        try:
            data = await self._tunnel.take(max_bytes)
        except ssl.SSLError as error:
            raise BrokenResourceError from error
        if not data:
            raise EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        if self._broken:
            raise BrokenResourceError
        try:
            await self._tunnel.send(item)
        except BaseException as error:
            self._broken = True  # what was encrypted, and not sent, cannot be again
            if isinstance(error, ssl.SSLError):
                raise BrokenResourceError from error
            raise

    async def send_eof(self) -> None:
        raise NotImplementedError("TLS, which this stream has to its proxy, has no half-close")

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def _raw_socket(self) -> socket.socket:  # which anyio asks of a stream of a socket
        return self._tunnel.sock


async def stream_over(
    given: socket.socket | Tunnel, dialer: Dialer, own: socket.socket | None = None
) -> SocketStream:
    """A stream on what a dial has given.

    Args:
        own: the socket that has the connection now, if it is not the dial's any more.

    The socket is closed if there is none.
    """
    if isinstance(given, socket.socket):
        return await stream_of(own or given, dialer)
    return _Through(given, await stream_of(own or given.sock, dialer))


async def abandoned(stream: SocketStream, sock: socket.socket, error: BaseException) -> None:
    """Close a stream and its socket, because of ``error``."""
    close_now(stream, sock)
    if not isinstance(error, GeneratorExit):  # nothing can be waited for
        await gone(sock)


def close_now(stream: SocketStream | TLSStream, sock: socket.socket) -> None:
    """Close a stream without waiting for anything.

    Its `aclose` has done all there is to do when it waits for the first time, or it could not be
    cancelled there.  What the loop has to do after that it will do.
    """
    closing = getattr(stream, "transport_stream", stream).aclose()
    try:
        closing.send(None)
    except StopIteration:
        pass  # it has not had to wait
    except RuntimeError:  # the loop is closed
        close(sock)
    finally:
        closing.close()


async def gone(sock: socket.socket) -> None:
    """Wait until a socket is closed; by its transport if it has one, else here."""
    if in_trio():
        close(sock)
    else:
        await closed(sock)
