"""Streams, backends, pools and transports for what httpcore and httpx have without an event loop.

Rules: as of `pool`, `stream` and `transport` beside this.  What waits is the calling thread.

Source: the network backends of httpcore, and the custom transports of httpx.
"""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ...addresses.text import host_of_url
from ...addresses.values import TCPAddress, UnixAddress
from ...blocking.calls import connect, open_tls
from ...blocking.tunnels import ThroughTunnels, TunnelTLSSocket
from ...errors.foreign import words
from ...handshakes.tls import settings
from .pool import Pool
from .pooled import POOLED, pooled
from .stream import is_readable, tls_error
from .stream import raised_as as as_core
from .transport import Body, Transport
from .transport import raised_as as as_package

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator

    from ...dial.dialer import Dialer
    from ...sockets.option import Keepalive

__all__ = [
    "BlockingBackend",
    "BlockingBody",
    "BlockingPool",
    "BlockingStream",
    "BlockingTransport",
    "BlockingUnconnected",
]

_WITH_TLS: Final = (ssl.SSLSocket, TunnelTLSSocket)
_ENDS: Final = {"client_addr": "getsockname", "server_addr": "getpeername"}


class BlockingStream:
    """A connection, as the package uses it.

    Args:
        sock: the same, as a socket.
        address: what it was to connect to.

    Attributes:
        core: the package; a subclass says which.
    """

    core: ClassVar[Any]

    def __init__(self, sock: socket.socket, address: TCPAddress | UnixAddress) -> None:
        self._sock = sock
        self._address = address
        # Asked for here, because a socket that is closed does not know any more.
        self._extra: dict[str, Any] = {info: getattr(sock, call)() for info, call in _ENDS.items()}
        self._extra["socket"] = sock
        self._extra["ssl_object"] = sock if isinstance(sock, _WITH_TLS) else None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._limited(timeout, self.core.ReadTimeout, self.core.ReadError):
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with self._limited(timeout, self.core.WriteTimeout, self.core.WriteError):
                self._sock.sendall(buffer)

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The same connection with TLS; it is closed if that fails.

        It is for what is behind a proxy, and for backends that connect first.

        Raises:
            core.ConnectTimeout: it was not done in time; ``args[0]`` is a `ConnectTimeout`.
            core.ConnectError: it has failed; ``args[0]`` is a `HandshakeError`.
            ValueError: ``server_hostname`` is not a name, or is missing; or there is TLS
                already.
        """
        started = time.monotonic()
        with as_core(self.core):
            try:
                if isinstance(self._sock, _WITH_TLS):
                    raise ValueError(
                        "there is TLS already: for TLS through a proxy that itself speaks TLS, "
                        "use Dialer(proxy=...)"
                    )
                tls = settings(ssl_context, server_hostname, None, None)
                assert tls is not None  # there is a context
                family, name = self._sock.family, tls.server_hostname
                self._sock.settimeout(timeout)
                context: Any = ThroughTunnels(tls.context)
                wrapped = context.wrap_socket(self._sock, server_hostname=name)
            except OSError as error:
                self.close()
                raise tls_error(  # noqa: B904  # it has its cause
                    error,
                    name,
                    started,
                    self._address,
                    family,
                    self._extra["server_addr"],
                )
            except BaseException:
                self.close()
                raise
        return type(self)(wrapped, self._address)

    def get_extra_info(self, info: str) -> Any:
        """What is asked for: the address of either end, the socket, the SSLSocket, and whether
        there is something to read; None for anything else."""
        return is_readable(self._sock) if info == "is_readable" else self._extra.get(info)

    @contextmanager
    def _limited(
        self, timeout: float | None, timed_out: type[Exception], broken: type[Exception]
    ) -> Iterator[None]:
        """Limit the time, and raise one of these two."""
        try:
            self._sock.settimeout(timeout)
            yield
        except TimeoutError as error:
            raise timed_out(f"timed out after {timeout} seconds") from error
        except OSError as error:
            raise broken(words(error)) from error


class BlockingUnconnected:
    """A connection that is made when TLS is to be started on it, so that TLS is in the race.

    Nothing is open before that.

    Args:
        address: what to connect to.
        dialer: what to dial with.

    Attributes:
        connected: the kind of stream it becomes; a subclass says which.
    """

    connected: ClassVar[type[BlockingStream]]

    def __init__(self, address: TCPAddress | UnixAddress, dialer: Dialer) -> None:
        self._address = address
        self._dialer = dialer

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect, with TLS; when there is no connection, the errors are those of TLS as well."""
        with as_core(self.connected.core):
            sock = open_tls(
                self._address,
                ssl=ssl_context,
                server_hostname=server_hostname,
                timeout=timeout,
                dialer=self._dialer,
            )
        return self.connected(sock, self._address)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        raise self.connected.core.ReadError(_NO_TLS)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        raise self.connected.core.WriteError(_NO_TLS)

    def close(self) -> None:
        """There is nothing to close."""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002
        """None: there is nothing to tell."""
        return None


_NO_TLS: Final = "not connected yet: with tls=True, start_tls() connects, and must be called first"


class BlockingBackend:
    """What is said of `aconnect.clients.blocking.httpcore.AConnectBackend`.

    Attributes:
        core: the package; a subclass says which.
        connected, unconnected: the kinds of its streams.
    """

    core: ClassVar[Any]
    connected: ClassVar[type[BlockingStream]]
    unconnected: ClassVar[type[BlockingUnconnected]]

    def __init__(
        self,
        *,
        dialer: Dialer | None = None,
        keepalive: Keepalive | None = POOLED,
        tls: bool = False,
    ) -> None:
        self._dialer = pooled(dialer, keepalive)
        self._with_tls = tls

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to a host, whose addresses race; with ``tls``, when `start_tls` is called.

        Raises:
            core.ConnectTimeout: there was no connection in time; ``args[0]`` is the
                `ConnectTimeout`.
            core.ConnectError: there is no connection; ``args[0]`` is the `ConnectError`, or
                a ValueError if ``host`` cannot be one.
            TypeError, ValueError: another argument is invalid.
        """
        try:
            address = TCPAddress(host_of_url(host), port)
        except ValueError as error:  # it may come from a redirect
            raise self.core.ConnectError(error) from error
        dialer = self._dialer
        if local_address is not None:
            dialer = dialer.replace(local_address=local_address)
        return self._connect(address, timeout, dialer, socket_options)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Any:
        """Connect to a unix socket; otherwise as `connect_tcp`."""
        return self._connect(UnixAddress(path), timeout, self._dialer, socket_options)

    def sleep(self, seconds: float) -> None:
        """Wait; a connection does so before it tries again."""
        time.sleep(seconds)

    def _connect(
        self,
        address: TCPAddress | UnixAddress,
        timeout: float | None,
        dialer: Dialer,
        socket_options: Iterable[Any] | None,
    ) -> Any:
        if socket_options is not None:
            dialer = dialer.replace(socket_options=(*dialer.socket_options, *socket_options))
        if self._with_tls:
            return self.unconnected(address, dialer)
        with as_core(self.core):
            sock = connect(address, timeout=timeout, dialer=dialer)
        return self.connected(sock, address)


class BlockingPool(Pool):
    """What is said of `aconnect.clients.blocking.httpcore.AConnectPool`."""

    connection = "HTTPConnection"


class BlockingTransport(Transport):
    """What is said of `aconnect.clients.blocking.httpx.AConnectTransport`."""

    def handle_request(self, request: Any) -> Any:
        """Send a request; the body of the response comes as it is read."""
        to_send = self._to_send(request)
        with as_package(self._errors):
            response = self._pool.handle_request(to_send)
        return self._answer(response)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class BlockingBody(Body):
    """The body of a response."""

    def __iter__(self) -> Iterator[bytes]:
        with as_package(self._errors):
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()
