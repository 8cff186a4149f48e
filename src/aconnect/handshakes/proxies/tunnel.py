"""TLS to a proxy: a handshake that any event loop can wait for, and what it gives.

Rules:

* It gives no socket: TLS is not the kernel's.  It gives a `Tunnel`, on which proxies are talked to
  as on a socket, and of which an event loop makes a transport, or a stream, with one owner.
* What the target has said behind the proxy's answer is what is read first from that.
* A proxy behind a proxy may have TLS too, within that of the first.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from ..base import Handshake
from ..contexts import default_context
from ..layered import Bottom, Layer, Wrapper
from ..tls import agreed, failure, reason, settings
from .wire import wire_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from ..tls import TLS
    from .wire import Ready, Wire

__all__ = ["ToProxy", "Tunnel", "tls_of", "tunnel_over"]

_HTTP: Final = "http/1.1"
"""What is offered by ALPN: CONNECT is asked in no other."""
_MOST: Final = 64 * 1024


def tls_of(context: ssl.SSLContext | None, server_hostname: str | None, host: str | None) -> TLS:
    """What TLS to a proxy is done with.

    Args:
        context: None for the default one.
        server_hostname: the name that it has to prove; None for its host.

    Raises:
        ValueError: there is none, and the context checks it.
    """
    found = settings(context or default_context(_HTTP), server_hostname, None, host)
    assert found is not None  # there is a context
    return found


class Tunnel:
    """A connection with TLS to one proxy or more; a `Wire`.

    Nothing of it is open but its socket, which is the dial's.

    Args:
        wire: what it is on.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._bottom = Bottom()
        self._top: Any = self._bottom
        self._context: Any = None

    @property
    def sock(self) -> socket.socket:
        return self._wire.sock

    @property
    def ssl_object(self) -> Layer:
        """What TLS to the last proxy has come to."""
        layer: Layer = self._top
        return layer

    async def shake(self, tls: TLS, *, through: bool = True) -> None:
        """Do TLS, within what there is already.

        Args:
            tls: what it is done with.
            through: whether it is with a proxy, and not with the target.

        Raises:
            ssl.SSLError, OSError: it fails.
        """
        self._context = tls.context
        name, session = tls.server_hostname, tls.session
        self._top = Layer(tls.context, name, self._top, session, through=through)
        await self._done(self._top.do_handshake)

    def layers(self) -> tuple[Bottom, Layer]:
        """The buffers at the bottom, and the uppermost layer, for who goes on by himself."""
        return self._bottom, self._top

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self._done(self._top.write, rest) :]

    async def look(self, most: int) -> bytes:
        data: bytes = await self._done(self._top.look, most)
        return data

    async def take(self, count: int) -> bytes:
        data: bytes = await self._done(self._top.read, count)
        return data

    def acknowledge(self) -> None:
        self._wire.acknowledge()

    async def _done(self, call: Callable[..., Any], *args: Any) -> Any:
        while True:
            result, wants = None, False
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                wants = True
            except ssl.SSLError:
                await self._send()  # the peer is told why
                raise
            await self._send()
            if not wants:
                return result
            self._bottom.came(await self._wire.take(_MOST))

    async def _send(self) -> None:
        data = self._bottom.to_send()
        if data:
            await self._wire.send(data)

    def go_on(self, wire: Wire) -> None:
        """Be on another wire from here, which goes on where the other has come to."""
        self._wire = wire

    def wrapper(self, tls: TLS | None = None) -> ssl.SSLContext:
        """What an event loop has to wrap its buffers with, to go on where this has come to.

        It is for one connection: this one.

        Args:
            tls: what TLS within is to be done with; None if there is to be none.
        """

        def make(
            incoming: ssl.MemoryBIO,
            outgoing: ssl.MemoryBIO,
            name: str | bytes | None,
            session: ssl.SSLSession | None,
        ) -> Layer:
            self._bottom.move(incoming, outgoing)
            top: Layer = self._top
            if tls is None:
                return top
            return Layer(tls.context, name, top, session or tls.session)

        context = self._context if tls is None else tls.context
        return cast("ssl.SSLContext", Wrapper(context, make))


def tunnel_over(given: Any, ready: Ready) -> Tunnel:
    """What a handshake is given, as a tunnel: a socket, or one already."""
    wire = wire_of(given, ready)
    return wire if isinstance(wire, Tunnel) else Tunnel(wire)


class ToProxy(Handshake[Tunnel]):
    """TLS to a proxy.

    Args:
        tls: what it is done with.
        proxy: which one it is, as text without user and password.
        ready: waits for a socket.
        hop: which of several proxies it is, from 0.
    """

    phase: Literal["proxy", "handshake"] = "proxy"

    def __init__(self, tls: TLS, proxy: str, ready: Ready, hop: int) -> None:
        self.name: str = "TLS to proxy"
        self.proxy: str = proxy
        self.hop: int = hop
        self._tls = tls
        self._ready = ready

    @property
    def unfinished(self) -> str:
        """What is awaited."""
        return f"the TLS handshake was not done: is {self.proxy} a proxy with TLS?"

    async def __call__(self, sock: socket.socket) -> Tunnel:
        """Do it on a connected socket, or within a tunnel.

        Raises:
            ssl.SSLError, OSError: it has failed.
        """
        tunnel = tunnel_over(sock, self._ready)
        try:
            await tunnel.shake(self._tls)
        except Exception as error:
            found = failure(error)
        else:
            return tunnel
        try:
            raise found.with_traceback(None)
        finally:
            del found  # its traceback leads to this frame

    def details(self, result: Tunnel) -> Mapping[str, Any]:
        return agreed(result.ssl_object)

    def reason(self, error: Exception) -> str:
        return f"TLS to the proxy failed: {reason(error, self._tls.server_hostname)}"
