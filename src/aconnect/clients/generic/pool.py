"""Network backends and connection pools for httpcore, and for what goes on with its interface.

Rules:

* The package does all of HTTP.  What is here connects for it.
* It asks for a connection, and then for TLS on it.  Who knows that TLS will follow puts the
  connect off until then, and makes TLS part of the race.  A backend cannot know it, and is told;
  a pool knows it from the scheme of what it connects to, which is the proxy if there is one.
* Between the two there is nothing but the package's trace: no stream is read or written before
  its TLS.

Source: the network backends and the connection pool of httpcore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio

from ...addresses.text import host_of_url
from ...addresses.values import TCPAddress, UnixAddress
from ...transports.anyio import open_stream
from .forwarding import forwarder, to_forwarder
from .pooled import POOLED, pooled
from .stream import raised_as

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from ...dial.dialer import Dialer
    from ...proxies.values import Proxy
    from ...sockets.option import Keepalive
    from ...transports.calls import DialerOptions
    from .stream import Stream, Unconnected

__all__ = ["Backend", "Pool"]

_WITH_TLS: Final = (b"https", b"wss")


class Backend:
    """What is said of `aconnect.clients.httpcore.AConnectBackend`.

    Attributes:
        core: the package; a subclass says which.
        connected, unconnected: the kinds of its streams.
    """

    core: ClassVar[Any]
    connected: ClassVar[type[Stream]]
    unconnected: ClassVar[type[Unconnected]]

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        tls: bool = False,
    ) -> None:
        self._dialer = pooled(dialer, keepalive)
        self._with_tls = tls

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to a host, whose addresses race; with ``tls``, when `start_tls` is called.

        Args:
            host: a name or an IP address.
            port: its port.
            timeout: seconds for the name and all addresses; None for no limit but the kernel's.
            local_address: what to bind to, in place of the dialer's own.
            socket_options: tuples of setsockopt(2), after the dialer's own and like its
                `SocketOption`.

        Raises:
            core.ConnectTimeout: there was no connection in time; ``args[0]`` is the
                `ConnectTimeout`.
            core.ConnectError: there is no connection; ``args[0]`` is the `ConnectError`, or
                a ValueError if ``host`` cannot be one.
            TypeError, ValueError: another argument is invalid.

        When cancelled, all is closed before the cancellation leaves this call.
        """
        try:
            address = TCPAddress(host_of_url(host), port)
        except ValueError as error:  # it may come from a redirect
            raise self.core.ConnectError(error) from error
        local: DialerOptions = {} if local_address is None else {"local_address": local_address}
        return await self._connect(address, timeout, local, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to a unix socket; otherwise as `connect_tcp`."""
        return await self._connect(UnixAddress(path), timeout, {}, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait; a connection does so before it tries again."""
        await anyio.sleep(seconds)

    async def _connect(
        self,
        address: TCPAddress | UnixAddress,
        timeout: float | None,
        options: DialerOptions,
        socket_options: Iterable[Any] | None,
    ) -> Any:
        dialer = self._dialer
        if socket_options is not None:
            options["socket_options"] = (*dialer.socket_options, *socket_options)
        if options:
            dialer = dialer.replace(**options)
        if self._with_tls:
            return self.unconnected(address, dialer)
        with raised_as(self.core):
            stream = await open_stream(address, timeout=timeout, dialer=dialer)
        return self.connected(stream, address)


class Pool:
    """What is said of `aconnect.clients.httpcore.AConnectPool`.

    Attributes:
        backend: the kind of its backends; a subclass says which.
        connection: the package's name for the kind of its connections.
    """

    backend: ClassVar[Any]
    connection: ClassVar[str] = "AsyncHTTPConnection"

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Any = None,
        forward: Proxy | str | None = None,
        max_connections: int | None = 10,
        max_keepalive_connections: int | None = None,
        keepalive_expiry: float | None = None,
        http1: bool = True,
        http2: bool = False,
        retries: int = 0,
        local_address: str | None = None,
        uds: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> None:
        if proxy is not None and forward is not None:
            raise ValueError("forward cannot be combined with proxy, which is sent http:// anyway")
        option = "proxy" if forward is None else "forward"
        by_proxy = proxy is not None or forward is not None
        if by_proxy and uds is not None:
            raise ValueError(
                f"uds {uds!r} cannot be combined with {option}: the pool connects to the proxy"
            )
        if by_proxy and retries:
            raise ValueError(
                f"retries {retries!r} cannot be combined with {option}: it would have no effect"
            )
        dialer = pooled(dialer, keepalive)
        # By way of the dialer: the package's connections to a proxy are told of neither.
        if local_address is not None:
            dialer = dialer.replace(local_address=local_address)
        if socket_options is not None:
            dialer = dialer.replace(socket_options=(*dialer.socket_options, *socket_options))
        self._backends = tuple(
            self.backend(dialer=dialer, keepalive=dialer.keepalive, tls=tls)
            for tls in (False, True)
        )
        self._direct = proxy is None
        # Its connections are made by a pool of their own, and kept in this one.
        self._forward: Any = None
        if forward is not None:
            self._forward = type(self)(
                dialer=to_forwarder(dialer),
                keepalive=dialer.keepalive,
                proxy=forwarder(self.backend.core, forward),
                keepalive_expiry=keepalive_expiry,
            )
        self._for_each: dict[str, Any] = {
            "ssl_context": ssl_context,
            "keepalive_expiry": keepalive_expiry,
            "http1": http1,
            "http2": http2,
            "retries": retries,
            "uds": uds,
        }
        super().__init__(
            proxy=proxy,
            max_connections=max_connections,
            max_keepalive_connections=max_keepalive_connections,
            network_backend=self._backends[proxy is not None and proxy.url.scheme in _WITH_TLS],
            **self._for_each,
        )  # type: ignore[call-arg]  # it is the pool's of the package

    def create_connection(self, origin: Any) -> Any:
        """A connection that is to be made; the package's pool calls it."""
        if not self._direct:
            return super().create_connection(origin)  # type: ignore[misc]  # likewise
        if self._forward is not None and origin.scheme not in _WITH_TLS:
            return self._forward.create_connection(origin)
        return getattr(self.backend.core, self.connection)(
            origin, network_backend=self._backends[origin.scheme in _WITH_TLS], **self._for_each
        )
